"""diff: what changed between two specs, fleet files, locks or artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from hfspec.cli.arguments import split_overrides
from hfspec.cli.exit_codes import NotComparableError
from hfspec.errors import SpecError, UsageError

if TYPE_CHECKING:
    from hfspec.comparison.change import Change

CHANGED = 1


class DiffFormat(StrEnum):
    """How changes are written."""

    text = "text"
    json = "json"
    markdown = "markdown"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Show what changed between two specs, fleet files, locks or artifacts.")(diff)


def diff(
    sides: Annotated[
        list[str],
        typer.Argument(
            metavar="A B [KEY=VALUE]...",
            help="Two specs, two fleet files, two locks, each as FILE@REVISION of git too, or two artifacts; overrides "
            "for both specs or fleet files, or A alone and what overrides change in it.",
        ),
    ],
    format: Annotated[  # noqa: A002 - the option's name
        DiffFormat, typer.Option(help="text for a person, json for a program, markdown for a pull request.")
    ] = DiffFormat.text,
) -> None:
    """Show what changed from A to B, by meaning; with A alone, what the overrides change. Digests are shown by their
    first 12 digits, which expect_fingerprint takes.

    Ends with 0 when nothing did, 1 when something did, 2 or more when the two cannot be compared.
    """
    from hfspec.report.diff import render

    places, overrides = split_overrides(sides)
    if len(places) not in (1, 2) or (len(places) == 1 and not overrides):
        raise UsageError(
            "give two specs, fleet files, locks or artifacts to compare, or one spec or fleet file and overrides"
        )
    a, b = places[0], places[1] if len(places) == 2 else None
    try:
        found = _changes(a, b, overrides)
    except SpecError as error:
        raise NotComparableError(error.problems) from error
    text = render(found, (a, b or " ".join([a, *overrides])), format.value)
    if text:
        print(text)
    if found:
        raise typer.Exit(CHANGED)


def _changes(a: str, b: str | None, overrides: Sequence[str]) -> Sequence[Change]:
    from hfspec.comparison.diff import diff as compare
    from hfspec.serving.fleet.recognition import is_fleet_side

    if not any(is_fleet_side(side) for side in (a, b) if side is not None):
        return compare(a, b, overrides)
    from hfspec.serving.fleet.comparison import fleet_diff

    return fleet_diff(a, b, overrides)
