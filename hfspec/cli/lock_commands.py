"""lock: what a spec is made of, pinned in a file beside it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hfspec.cli.arguments import Format, FormatOption, Overrides, QuietOption, SpecFile
from hfspec.cli.exit_codes import LOCK
from hfspec.cli.progress import for_terminal, tell
from hfspec.errors import LockError, UsageError
from hfspec.ir.progress import Progress


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
    format: FormatOption = Format.text,  # noqa: A002
    quiet: QuietOption = False,
) -> None:
    """Pin every source of a spec, to the commit and the digest of each file, in SPEC.lock beside it."""
    from hfspec import compiler
    from hfspec.report.lock import render_locked

    if check and upgrade:
        raise UsageError("--check writes nothing and --upgrade writes; give one of them")
    progress = for_terminal(quiet=quiet)
    warnings = compiler.warnings(spec, overrides or ())
    for warning in warnings:
        tell(f"warning: {warning}")
    if check:
        _check(spec, overrides or (), format.value, progress)
    else:
        locked = compiler.lock(spec, overrides or (), upgrade=upgrade, progress=progress)
        for note in () if quiet else locked.notes:
            if note not in warnings:
                tell(f"note: {note}")
        print(render_locked(locked, format.value))


def _check(spec: Path, overrides: Sequence[str], format: str, progress: Progress) -> None:  # noqa: A002
    from hfspec import compiler
    from hfspec.locking.lock_file import lock_path
    from hfspec.report.lock import render_changes

    try:
        changes = compiler.check_lock(spec, overrides, progress)
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
