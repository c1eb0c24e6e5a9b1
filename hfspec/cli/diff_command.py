"""diff: what changed between two specs, locks or artifacts."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, NoReturn

import typer

from hfspec.cli.exit_codes import USAGE
from hfspec.errors import SpecError

CHANGED = 1


class DiffFormat(StrEnum):
    """How changes are written."""

    text = "text"
    json = "json"
    markdown = "markdown"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(diff)


def diff(
    a: Annotated[
        str, typer.Argument(metavar="A", help="A spec, a lock, either as FILE@REVISION of git, or an artifact.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="What to compare it with: another of the same kind.")],
    format: Annotated[  # noqa: A002 - the option's name
        DiffFormat, typer.Option(help="text for a person, json for a program, markdown for a pull request.")
    ] = DiffFormat.text,
) -> None:
    """Show what changed from A to B, by meaning; digests by their first 12 digits, which expect_fingerprint takes.

    Ends with 0 when nothing did, 1 when something did, 2 or more when the two cannot be compared.
    """
    from hfspec.comparison.diff import diff as compare
    from hfspec.report.diff import render

    try:
        found = compare(a, b)
    except SpecError as error:
        _refuse(error)
    text = render(found, (a, b), format.value)
    if text:
        print(text)
    if found:
        raise typer.Exit(CHANGED)


def _refuse(error: SpecError) -> NoReturn:
    """A wrong spec ends with 2 here, since 1 says that there are changes."""
    from hfspec.report.problems import render

    print(render(error.problems, "text"), file=sys.stderr)
    raise typer.Exit(USAGE)
