"""Where a spec's sources lie, as far as the spec and this machine's disk tell: no hub is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hfspec.ir.problem import KeyPath, Origin, Problem
from hfspec.ir.source_kinds import SOURCE_KINDS, SourceKind
from hfspec.ir.tree import Tree
from hfspec.sources.folder import missing_folder

# Location and revision as a spec writes them -> the commit or version that a lock has for them.
Locked = Mapping[tuple[str, str | None], str]


def base_folder(tree: Tree, key: KeyPath) -> Path:
    """Where the relative path of a source starts."""
    return folder_of(tree, (*key, "path"))


def folder_of(tree: Tree, path: KeyPath) -> Path:
    """Where a key's value starts that is a relative path: the folder of the file that wrote it; the current one for the
    command line.
    """
    origin = tree.origin(path)
    return Path() if origin.override else Path(origin.file or tree.file).parent


def missing_folders(tree: Tree) -> Iterator[Problem]:
    """The folders that the spec names and that do not exist."""
    for key, source in _sources(tree):
        name = source.get("path")
        if isinstance(name, str) and name and "\0" not in name:
            folder = base_folder(tree, key) / Path(name).expanduser()
            if not folder.is_dir():
                path = (*key, "path")
                yield Problem("no-such-folder", missing_folder(name, folder), tree.origin(path), path)


def unpinned(tree: Tree, locked: Locked) -> Iterator[Problem]:
    """The sources that another compile may find changed: what the spec says of their version can move, and no lock has
    one for it.
    """
    for key, source in _sources(tree):
        for kind in SOURCE_KINDS.values():
            location, revision = source.get(kind.key), source.get("revision")
            if isinstance(location, str) and kind.pinned_key is not None and (location, revision) not in locked:
                value = source.get(kind.pinned_key)
                if not (isinstance(value, str) and re.match(kind.fixed_pattern, value)):
                    path = (*key, kind.key if value is None else kind.pinned_key)
                    yield _movable(kind, location, tree.origin(path), path)


def _movable(kind: SourceKind, location: str, origin: Origin, path: KeyPath) -> Problem:
    return Problem(
        "not-pinned",
        f"{location} is not pinned: another compile may find another version of it.",
        origin,
        path,
        expected=f"{kind.fixed_form}, or a lock beside the spec that has it",
        remedy=f"Run `hfspec lock` and commit the lock, or write {kind.fixed_form}.",
    )


def _sources(tree: Tree) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    components = tree.value.get("components")
    names = components if isinstance(components, Mapping) else ()
    keys: list[KeyPath] = [("model",), ("adapter",), *(("components", str(name)) for name in names)]
    for key in keys:
        value: Any = tree.value
        for part in key:
            value = value.get(str(part))
        if isinstance(value, Mapping):
            yield key, value
