"""lock: what a spec is made of, pinned in a file beside it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfspec.cli.arguments import Format, FormatOption, OnlyContent, OnlyEnvironment, Overrides, QuietOption, SpecFile
from hfspec.cli.exit_codes import LOCK
from hfspec.cli.progress import for_terminal, tell
from hfspec.errors import LockError, StorageError, UsageError
from hfspec.ir.progress import Progress

if TYPE_CHECKING:
    from hfspec.ir.lock import Change


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Pin what a spec is made of in SPEC.lock.")(lock)


def lock(
    spec: SpecFile,
    overrides: Overrides = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; list what moved since, and end with 5 when anything did.")
    ] = False,
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Take branches and tags where they are now, not where they were locked.")
    ] = False,
    content: OnlyContent = False,
    environment: OnlyEnvironment = False,
    requirements: Annotated[
        bool,
        typer.Option(
            "--requirements", help="Write SPEC.requirements.txt too: what the lock names, with hashes, by pip."
        ),
    ] = False,
    format: FormatOption = Format.text,  # noqa: A002
    quiet: QuietOption = False,
) -> None:
    """Pin every source of a spec, to the commit and the digest of each file, in SPEC.lock beside it."""
    from hfspec import compiler
    from hfspec.report.lock import render_locked

    if check and (upgrade or requirements):
        raise UsageError("--check writes nothing; --upgrade and --requirements write; give one of them")
    if (content or environment) and not check:
        raise UsageError("--content and --environment go with --check")
    progress = for_terminal(quiet=quiet)
    warnings = compiler.warnings(spec, overrides or ())
    for warning in warnings:
        tell(f"warning: {warning}")
    if check:
        parts = (content or not environment, environment or not content)
        _check(spec, overrides or (), format.value, progress, parts)
    else:
        locked = compiler.lock(spec, overrides or (), upgrade=upgrade, progress=progress)
        for note in () if quiet else locked.notes:
            if note not in warnings:
                tell(f"note: {note}")
        print(render_locked(locked, format.value))
        if requirements:
            print(_write_requirements(spec, locked.lock.versions))


def _write_requirements(spec: Path, versions: Mapping[str, str]) -> Path:
    from hfspec.sources.package_index import hashed_requirements

    file = spec.with_name(f"{spec.name}.requirements.txt")
    text = hashed_requirements(versions)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{file} cannot be written: {error.strerror}.") from error
    return file


def _check(
    spec: Path,
    overrides: Sequence[str],
    format: str,  # noqa: A002
    progress: Progress,
    parts: tuple[bool, bool],
) -> None:
    from hfspec.locking.lock_file import lock_path
    from hfspec.report.lock import render_changes

    try:
        changes = _changes(spec, overrides, progress, parts)
    except LockError as error:
        if not error.changes:
            raise
        changes = error.changes
    print(render_changes(spec, lock_path(spec), changes, format))
    if changes:
        if changes[0].code != "missing":
            command = " ".join(["hfspec lock --upgrade", str(spec), *overrides])
            print(f"run `{command}` to take what is there now", file=sys.stderr)
        raise typer.Exit(LOCK)


def _changes(spec: Path, overrides: Sequence[str], progress: Progress, parts: tuple[bool, bool]) -> Sequence[Change]:
    """The changes of the lock's content, its environment, or both."""
    from hfspec import compiler

    content, environment = parts
    if not content:
        return compiler.check_held(spec, overrides, progress, content=False)
    moved = compiler.check_lock(spec, overrides, progress)
    return moved if environment else [change for change in moved if change.code != "version"]
