"""The changes that locking a spec made, or those since it was locked, for a person or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from hfspec.ir.lock import Change, Locked


def render_locked(locked: Locked, format: str) -> str:  # noqa: A002 - the option's name
    """Tell what was written into a lock.

    Args:
        locked: The lock and what changed in it.
        format: ``text``, a line a change and a last line about the file, or ``json``.

    Returns:
        The report.
    """
    if format == "json":
        body = {"path": str(locked.path), "is_new": locked.is_new, "changes": _objects(locked.changes)}
        return json.dumps(body, indent=2, ensure_ascii=False)
    return "\n".join([*(change.message for change in locked.changes), f"{locked.path}: {_outcome(locked)}"])


def _outcome(locked: Locked) -> str:
    files = sum(len(source.files) for source in locked.lock.sources)
    whole = f"{len(locked.lock.sources)} source(s), {files} files"
    if locked.is_new:
        return f"written, {whole}"
    return f"rewritten, {whole}" if locked.changes else f"up to date, {whole}"


def render_changes(spec: Path, lock: Path, changes: Sequence[Change], format: str) -> str:  # noqa: A002
    """Tell what moved since a lock was written.

    Args:
        spec: The spec.
        lock: The lock.
        changes: What moved.
        format: ``text``, a line a change, each after the lock's path, or ``json``, a list of objects.

    Returns:
        The report.
    """
    if format == "json":
        return json.dumps(_objects(changes), indent=2, ensure_ascii=False)
    if not changes:
        return f"{lock} holds for {spec}"
    return "\n".join(f"{lock}: {change.message}" for change in changes)


def _objects(changes: Sequence[Change]) -> list[dict[str, str | None]]:
    return [asdict(change) for change in changes]
