"""The demands of a lock on a compile: the spec and the bytes must be those that were locked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hfspec.errors import LockError
from hfspec.ir.lock import Change, Lock
from hfspec.ir.pins import Pins
from hfspec.ir.plan import Plan
from hfspec.ir.source_kinds import SOURCE_KINDS
from hfspec.locking.comparison import changes, entries
from hfspec.locking.lock_file import lock_path


def check_held(spec: Path, overrides: Sequence[str], lock: Lock, now: Lock) -> None:
    """Nothing when ``now`` is what ``lock`` says; raises LockError with everything that differs."""
    moved = changes(lock, now)
    if moved:
        raise _refused(spec, overrides, moved)


def check_versions(spec: Path, overrides: Sequence[str], lock: Lock, plan: Plan) -> None:
    """Check that a plan is for the packages that were locked, neither more nor fewer; raises LockError."""
    moved = tuple(entries("version", "", lock.versions, plan.all_versions))
    if moved:
        raise _refused(spec, overrides, moved)


def notes(spec: Path, lock: Lock, pins: Pins) -> tuple[str, ...]:
    """Notes on the lock beside the spec of an unlocked plan: whose commits were taken from it, and whose were not,
    because it does not have them.
    """
    file, commits = lock_path(spec), lock.commits
    repos = [pin for pin in pins.sources if SOURCE_KINDS[pin.kind].pinned_key]
    roles = [pin.role for pin in repos if (pin.location, pin.revision) in commits]
    others = [pin.role for pin in repos if (pin.location, pin.revision) not in commits]
    present = f"{file} says the commit of {', '.join(roles)}." if roles else ""
    missed = f"{file} does not say the commit of {', '.join(others)}; run `hfspec lock {spec}`." if others else ""
    return tuple(filter(None, (present, missed)))


def _refused(spec: Path, overrides: Sequence[str], moved: Sequence[Change]) -> LockError:
    lines = "\n".join(f"    {change.message}" for change in moved)
    suffix = f" (with {' '.join(overrides)})" if overrides else ""
    command = " ".join(["hfspec lock", str(spec), *overrides])
    return LockError(
        f"{lock_path(spec)} does not hold for {spec}{suffix}:\n{lines}\n"
        f"Put back what changed, or run `{command}` and commit the lock.",
        moved,
    )
