"""diff: what changed between two specs, fleet files, batch files, locks or artifacts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfspec.cli.arguments import split_overrides
from hfspec.cli.completion import complete_overrides
from hfspec.cli.exit_codes import NotComparableError
from hfspec.errors import SpecError, UsageError

if TYPE_CHECKING:
    from hfspec.comparison.change import Change

CHANGED = 1
RANGE = re.compile(r"(?P<before>[^/@][^@]*?)(?P<dots>\.{2,3})(?P<after>[^./@][^@]*)?")


class DiffFormat(StrEnum):
    """How changes are written."""

    text = "text"
    json = "json"
    markdown = "markdown"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Show what changed between two specs, fleet or batch files, locks or artifacts.")(diff)


def diff(
    sides: Annotated[
        list[str],
        typer.Argument(
            metavar="A B [KEY=VALUE]...",
            help="Two specs, fleet files, batch files or locks, each as FILE@REVISION of git too, or two artifacts; "
            "overrides for both, but locks and artifacts, or A alone and what overrides change in it; or BASE..BRANCH "
            "and folders.",
            autocompletion=complete_overrides,
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
    if places and (found_range := RANGE.fullmatch(places[0])) and not Path(places[0]).exists():
        _diff_folders(found_range, places[1:], overrides, format)
        return
    if len(places) not in (1, 2) or (len(places) == 1 and not overrides):
        raise UsageError(
            "give two specs, fleet files, batch files, locks or artifacts to compare, or one of the first three kinds"
            " and overrides"
        )
    a, b = places[0], places[1] if len(places) == 2 else None
    try:
        changes = _changes(a, b, overrides)
    except SpecError as error:
        raise NotComparableError(error.problems) from error
    text = render(changes, (a, b or " ".join([a, *overrides])), format.value)
    if text:
        print(text)
    if changes:
        raise typer.Exit(CHANGED)


def _diff_folders(
    revisions: re.Match[str],
    paths: Sequence[str],
    overrides: Sequence[str],
    format: DiffFormat,  # noqa: A002
) -> None:
    """Print the changes in all specs below the paths between two revisions, ``A..B``, or since both branched,
    ``A...B``.
    """
    from hfspec.comparison.folders import folder_changes
    from hfspec.redaction import redacted
    from hfspec.report.check import changes_markdown, changes_text

    if overrides or format is DiffFormat.json:
        raise UsageError("between revisions there are neither overrides nor JSON; compare two files for these")
    before, after = revisions["before"], revisions["after"] or None
    since = len(revisions["dots"]) == 3
    places = list(paths) or ["specs" if Path("specs").is_dir() else "."]
    changes = folder_changes(places, before, after, compare_files, since_branched=since)
    if changes:
        print(redacted((changes_text if format is DiffFormat.text else changes_markdown)(changes)))
        raise typer.Exit(CHANGED)


def compare_files(a: str, b: str) -> Sequence[Change]:
    """The changes between two specs, fleet files, batch files or locks, each ``FILE`` or ``FILE@REVISION``."""
    return _changes(a, b, ())


def _changes(a: str, b: str | None, overrides: Sequence[str]) -> Sequence[Change]:
    from hfspec.batch.document.loading import is_batch_side
    from hfspec.comparison.diff import diff as compare
    from hfspec.serving.fleet.recognition import is_fleet_side

    sides = [side for side in (a, b) if side is not None]
    if any(map(is_fleet_side, sides)):
        from hfspec.serving.fleet.comparison import fleet_diff

        return fleet_diff(a, b, overrides)
    if any(map(is_batch_side, sides)):
        from hfspec.batch.document.comparison import batch_diff

        return batch_diff(a, b, overrides)
    return compare(a, b, overrides)
