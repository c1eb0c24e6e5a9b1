"""The changes in folders of specs between two states of a git repository, or since one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hfspec.comparison.change import Change, changes
from hfspec.comparison.diff import LOCK, file_of
from hfspec.comparison.revisions import merge_base, paths_at
from hfspec.comparison.specs import read_spec, spec_account
from hfspec.errors import HfspecError
from hfspec.ir.artifact import MANIFEST_NAME, SPEC_SUFFIXES
from hfspec.ir.frozen import FrozenDict
from hfspec.language.discovery import counts

Compare = Callable[[str, str], Sequence[Change]]
NOTHING = FrozenDict()


@dataclass(frozen=True, slots=True)
class FileChange:
    """A spec or lock that is new, was changed or was deleted. ``fault``: why its changes cannot be told."""

    path: str
    kind: Literal["new", "changed", "deleted"]
    changes: tuple[Change, ...] = ()
    fault: str = ""


def folder_changes(
    paths: Sequence[str], before: str, after: str | None, compare: Compare, *, since_branched: bool = False
) -> tuple[FileChange, ...]:
    """Tell which specs and locks below folders are new, changed or deleted, and what that means.

    Args:
        paths: Folders and files.
        before: A git revision.
        after: Another one; None for the files as they are now.
        compare: How two files of one name are compared, each ``FILE`` or ``FILE@REVISION``.
        since_branched: Whether ``before`` stands for the last commit that it shares with ``after``.

    Returns:
        The changed files by their paths; none where all mean the same.

    Raises:
        UsageError: There is no such revision or no repository.
        WorldError: Git cannot be run.
    """
    if since_branched:
        before = merge_base(Path(paths[0]), before, after or "HEAD")
    old, new = ({*_files(paths, revision)} for revision in (before, after))
    all_changes = (_change(path, old, new, (before, after), compare) for path in sorted(old | new))
    return tuple(change for change in all_changes if change.kind != "changed" or change.changes or change.fault)


def _files(paths: Sequence[str], revision: str | None) -> Iterator[str]:
    """The specs and locks below the paths at a revision, or now."""
    for path in paths:
        place = Path(path)
        if revision is not None:
            files = paths_at(place, revision)
        elif place.is_dir():
            files = [Path(parent, name) for parent, _, names in os.walk(place) for name in names]
        else:
            files = [place] if place.exists() else []
        artifacts = {file.parent for file in files if file.name == MANIFEST_NAME}
        for file in files:
            below = file.relative_to(place).parts if file != place else ()
            if all(map(counts, below)) and _is_spec_or_lock(file) and not artifacts & {*file.parents}:
                yield file.as_posix()


def _is_spec_or_lock(file: Path) -> bool:
    return file.name.removesuffix(LOCK).endswith(SPEC_SUFFIXES)


def _change(path: str, old: set[str], new: set[str], revisions: tuple[str, str | None], compare: Compare) -> FileChange:
    sides = [f"{path}@{revision}" if revision else path for revision in revisions]
    try:
        if path in old and path in new:
            return FileChange(path, "changed", tuple(compare(sides[0], sides[1])))
        if path in new:
            return FileChange(path, "new", changes(NOTHING, _account(sides[1])))
    except HfspecError as error:
        return FileChange(path, "changed" if path in old else "new", fault=str(error))
    return FileChange(path, "deleted")


def _account(side: str) -> FrozenDict:
    """A short account of a new spec; nothing of a lock or of a fleet file, whose own words are short enough."""
    with file_of(side) as (file, place):
        if file.name.endswith(LOCK) or not _has_task(file):
            return NOTHING
        account = spec_account(read_spec(file, place), named=True)
    return FrozenDict({key: value for key, value in account.items() if value is not None})


def _has_task(file: Path) -> bool:
    """Whether a file is a spec, as far as its text tells: a fleet file has no task."""
    text = file.read_text(encoding="utf-8", errors="replace")
    return "task:" in text or "defaults:" in text
