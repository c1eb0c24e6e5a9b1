"""init and validate: what can be done with a spec alone."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hfspec.cli.arguments import ProblemFormat, split_overrides
from hfspec.cli.exit_codes import SPEC_WRONG
from hfspec.cli.progress import tell
from hfspec.errors import LockError, SpecError, StorageError, UsageError
from hfspec.ir.problem import Origin, Problem

STARTER = """\
{editor}
spec_version: 1
library: {library}
task: {task}
model:
  {source}
"""
SCHEMA_FILE = Path("schemas", "spec.schema.json")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(short_help="Write a small spec to begin with.")(init)
    app.command(short_help="Report every problem of specs and fleet files.")(validate)


def init(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="The file to write, such as specs/sentiment.yaml.")],
    task: Annotated[str, typer.Option(help="The task.")] = "text-classification",
    library: Annotated[str, typer.Option(help="transformers or sentence-transformers.")] = "transformers",
    model: Annotated[
        str, typer.Option(help="A hub repository, a folder (./…), or package:NAME/FOLDER, inside a Python package.")
    ] = "distilbert/distilbert-base-uncased-finetuned-sst-2-english",
) -> None:
    """Write a small spec to begin with; an existing file is left alone, and one that would be wrong is not kept."""
    if spec.exists():
        raise UsageError(f"{spec} exists; choose another name or edit it")
    text = STARTER.format(editor=_editor_line(spec), library=library, task=task, source=_source(model, spec))
    spec.parent.mkdir(parents=True, exist_ok=True)
    spec.write_text(text, encoding="utf-8")
    if problems := _problems(spec):
        spec.unlink()
        raise SpecError(problems)
    print(spec)


def _editor_line(spec: Path) -> str:
    """Where an editor finds the schema: the nearest one above the spec, else how to write one."""
    above = spec.absolute().parent
    for steps, folder in enumerate((above, *above.parents)):
        if (folder / SCHEMA_FILE).is_file():
            return f"# yaml-language-server: $schema={'../' * steps or './'}{SCHEMA_FILE.as_posix()}"
    return "# `hfspec schema -o schemas` writes the schema by which an editor completes and checks this file."


def _source(model: str, spec: Path) -> str:
    if model.startswith("package:"):
        return f"package: {model.removeprefix('package:')}"
    if model.startswith((".", "/")):
        relative = Path(os.path.relpath(model, spec.parent)).as_posix()
        return f"path: {json.dumps(relative if relative.startswith('.') else f'./{relative}', ensure_ascii=False)}"
    if model.startswith("~"):
        return f"path: {json.dumps(model, ensure_ascii=False)}"
    return f"repo: {model}\n  revision: main"


def validate(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH... [KEY=VALUE]...",
            help="Specs and fleet files, or folders of them; overrides for each of them.",
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
    problems = [problem for file in files for problem in _problems(file, overrides)]
    fleets, batches = [[file for file in files if is_kind(file)] for is_kind in (is_fleet, is_batch)]
    specs = [file for file in files if file not in (*fleets, *batches)]
    remarks = [remark for file in specs for remark in _remarks(file, overrides)] if strict or not problems else []
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
    named = [f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts if count]
    return f"{' and '.join(named)} {'is' if specs + fleets + batches == 1 else 'are'} good"


def _problems(file: Path, overrides: Sequence[str] = ()) -> Sequence[Problem]:
    """Of one file; that it, or a base of it, cannot be read is a problem like another, and hides no other file's."""
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


def _remarks(file: Path, overrides: Sequence[str]) -> Sequence[Problem]:
    """Of one file; that the lock beside it cannot be read is one too, and hides no other file's."""
    from hfspec import compiler

    try:
        return compiler.remarks(file, overrides)
    except (LockError, StorageError) as error:
        return [Problem("unreadable", str(error), Origin(file=str(file)))]
