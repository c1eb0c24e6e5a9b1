"""validate: what can be said of a spec alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hfspec.cli.arguments import ProblemFormat, split_overrides
from hfspec.cli.completion import complete_overrides
from hfspec.cli.exit_codes import SPEC_WRONG
from hfspec.cli.progress import tell
from hfspec.errors import LockError, StorageError, UsageError
from hfspec.ir.problem import Origin, Problem


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Report every problem of specs and fleet files.")(validate)


def validate(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH... [KEY=VALUE]...",
            help="Specs and fleet files, or folders of them; overrides for each of them.",
            autocompletion=complete_overrides,
        ),
    ],
    format: Annotated[  # noqa: A002 - the option's name
        ProblemFormat, typer.Option(help="text for a person, json for a program, github for annotations.")
    ] = ProblemFormat.text,
    strict: Annotated[
        bool, typer.Option("--strict", help="A revision that is neither a commit nor locked is a problem as well.")
    ] = False,
) -> None:
    """Check specs, fleet and batch files without reading any model: every problem of every file, each with its place.

    Revisions that are not pinned are remarks on stderr.
    """
    from hfspec import compiler
    from hfspec.batch.document.loading import is_batch
    from hfspec.language.discovery import spec_files
    from hfspec.report.problems import render
    from hfspec.serving.fleet.recognition import is_fleet

    places, overrides = split_overrides(paths)
    if not places:
        raise UsageError("no spec is named; give a spec or a folder of specs before the overrides")
    files = spec_files([Path(place) for place in places])
    problems = [problem for file in files for problem in file_problems(file, overrides)]
    fleets, batches = [[file for file in files if is_kind(file)] for is_kind in (is_fleet, is_batch)]
    specs = [file for file in files if file not in (*fleets, *batches)]
    remarks = [remark for file in specs for remark in file_remarks(file, overrides)] if strict or not problems else []
    problems += remarks if strict else []
    for warning in dict.fromkeys(warning for file in specs for warning in compiler.warnings(file, overrides)):
        tell(f"warning: {warning}")
    text = render(list(dict.fromkeys(problems)), format.value)
    if text:
        print(text)
    if problems:
        raise typer.Exit(SPEC_WRONG)
    if format is ProblemFormat.text:
        print(_all_good(len(specs), len(fleets), len(batches)))
    sys.stdout.flush()  # what stdout refuses is said first, and alone
    for remark in dict.fromkeys(remarks):
        tell(f"remark: {remark}")


def _all_good(specs: int, fleets: int, batches: int) -> str:
    counts = [(specs, "spec"), (fleets, "fleet file"), (batches, "batch file")]
    parts = [f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts if count]
    return f"{' and '.join(parts)} {'is' if specs + fleets + batches == 1 else 'are'} good"


def file_problems(file: Path, overrides: Sequence[str] = ()) -> Sequence[Problem]:
    """The problems of one file. A file or a base that cannot be read is one of them, and hides no other file's."""
    from hfspec import compiler
    from hfspec.batch.document.loading import is_batch
    from hfspec.language.documents import unreadable
    from hfspec.serving.fleet.recognition import is_fleet

    try:
        if is_fleet(file):
            from hfspec.serving.fleet.loading import problems

            return problems(file, overrides)
        if is_batch(file):
            from hfspec.batch.document.loading import problems as batch_problems

            return batch_problems(file, overrides)
        return compiler.validate(file, overrides)
    except UsageError as error:
        return [unreadable(file, error)]


def file_remarks(file: Path, overrides: Sequence[str]) -> Sequence[Problem]:
    """The remarks on one file. A lock beside it that cannot be read is one of them, and hides no other file's."""
    from hfspec import compiler

    try:
        return compiler.remarks(file, overrides)
    except (LockError, StorageError) as error:
        return [Problem("unreadable", str(error), Origin(file=str(file)))]
