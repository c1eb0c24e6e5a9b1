"""check: the one command that continuous integration runs over a repository of specs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfspec.cli.arguments import OnlyContent, OnlyEnvironment
from hfspec.cli.diff_command import compare_files
from hfspec.cli.exit_codes import LOCK, SPEC_WRONG, WORLD
from hfspec.cli.progress import for_terminal
from hfspec.errors import LockError, SpecError, StorageError, UsageError, WorldError
from hfspec.ir.problem import Origin, Problem

if TYPE_CHECKING:
    from hfspec.ir.lock import Change

SPECS = Path("specs")
LOCK_CODE, WORLD_CODE = "lock", "world"
# The worst of what was found is the exit code.
CODES = {LOCK_CODE: LOCK, WORLD_CODE: WORLD}


class CheckFormat(StrEnum):
    """How the outcome is written."""

    text = "text"
    github = "github"
    md = "md"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Check every spec and its lock, and show what changed.")(check)


def check(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH...", help="Specs, or folders of them; by default specs/.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="REF", help="Show what is new, changed or deleted since branching from REF."),
    ] = None,
    format: Annotated[  # noqa: A002 - the option's name
        CheckFormat, typer.Option(help="text for a person, github for annotations, md for a pull request's comment.")
    ] = CheckFormat.text,
    content: OnlyContent = False,
    environment: OnlyEnvironment = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Check that every spec below the paths is valid, has a lock that holds, and pins its revisions.

    Ends with 0 when all is good, 1 when a spec is wrong, 5 when a lock is missing or does not hold, 3 when a source
    could not be asked; what changed since REF is shown and is no fault.
    """
    from hfspec.comparison.folders import folder_changes
    from hfspec.language.discovery import spec_files
    from hfspec.report.check import Checked, render

    places = paths or ([SPECS] if SPECS.is_dir() else [Path()])
    parts = (content or not environment, environment or not content)
    changes = None
    if base is not None:
        changes = folder_changes(list(map(str, places)), base, None, compare_files, since_branched=True)
    files = spec_files(_existing(places, gone=bool(changes)))
    problems = [problem for file in files for problem in _problems(file, parts, quiet=quiet)]
    checked = Checked(tuple(map(str, files)), tuple(dict.fromkeys(problems)), changes, base or "")
    print(render(checked, format.value))
    if problems:
        codes = {CODES.get(problem.code, SPEC_WRONG) for problem in problems}
        raise typer.Exit(next(code for code in (SPEC_WRONG, LOCK, WORLD) if code in codes))


def _existing(paths: Sequence[Path], *, gone: bool) -> list[Path]:
    """The paths, without those whose last spec was deleted since the base."""
    existing = [path for path in paths if path.exists()]
    return existing if gone and existing else list(paths)


def _problems(file: Path, parts: tuple[bool, bool], *, quiet: bool) -> Iterator[Problem]:
    """Every problem of one file and of its lock; none of them hides those of another file."""
    from hfspec import compiler
    from hfspec.batch.document.loading import is_batch
    from hfspec.cli.spec_commands import file_problems, file_remarks
    from hfspec.locking.lock_file import lock_path
    from hfspec.serving.fleet.recognition import is_fleet

    if problems := file_problems(file):
        yield from problems
        return
    if is_fleet(file) or is_batch(file):
        return
    lock = lock_path(file)
    try:
        moved = compiler.check_held(file, progress=for_terminal(quiet=quiet), content=parts[0], environment=parts[1])
        yield from (_of_lock(file, lock, change) for change in moved)
    except LockError as error:
        missing = bool(error.changes)
        yield Problem(
            LOCK_CODE,
            "it has no lock" if missing else str(error),
            _origin(file if missing else lock),
            remedy=f"run `hfspec lock {file}` and commit the lock",
        )
        yield from file_remarks(file, ()) if missing else ()
    except SpecError as error:
        yield from error.problems
    except (WorldError, StorageError, UsageError) as error:
        yield Problem(WORLD_CODE, str(error), _origin(file))


def _of_lock(file: Path, lock: Path, change: Change) -> Problem:
    remedy = f"put back what changed, or run `hfspec lock {file}` and commit the lock"
    return Problem(LOCK_CODE, change.message, _origin(lock), remedy=remedy)


def _origin(file: Path) -> Origin:
    return Origin(file=str(file), line=1, column=1)
