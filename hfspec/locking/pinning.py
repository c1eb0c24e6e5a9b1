"""What a lock asks of a compile: that the spec and the bytes are those that were locked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hfspec.errors import LockError
from hfspec.ir.lock import Change, Lock
from hfspec.ir.plan import Plan
from hfspec.locking.comparison import changes, entries
from hfspec.locking.lock_file import lock_path


def check_held(spec: Path, overrides: Sequence[str], held: Lock, found: Lock) -> None:
    """Nothing when ``found`` is what ``held`` says; raises LockError with everything that differs."""
    moved = changes(held, found)
    if moved:
        raise _refused(spec, overrides, moved)


def check_versions(spec: Path, overrides: Sequence[str], held: Lock, plan: Plan) -> None:
    """That a plan is for the packages that were locked, neither more nor fewer; raises LockError."""
    moved = tuple(entries("version", "", held.versions, plan.versions))
    if moved:
        raise _refused(spec, overrides, moved)


def _refused(spec: Path, overrides: Sequence[str], moved: Sequence[Change]) -> LockError:
    lines = "\n".join(f"    {change.message}" for change in moved)
    given = f" (with {' '.join(overrides)})" if overrides else ""
    command = " ".join(["hfspec lock", str(spec), *overrides])
    return LockError(
        f"{lock_path(spec)} does not hold for {spec}{given}:\n{lines}\n"
        f"Put back what changed, or run `{command}` and commit the lock.",
        moved,
    )
