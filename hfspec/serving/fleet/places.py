"""The files and folders that a fleet names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.tree import Tree
from hfspec.language.provenance import MISSING

SERVER_PLACES: tuple[KeyPath, ...] = (
    ("server", "unix_socket"),
    ("server", "tls", "certificate"),
    ("server", "tls", "key"),
    ("server", "api_keys", "file"),
)
MODEL_PLACES = ("artifact", "signature_key")


def fleet_places(document: Mapping[str, Any]) -> Iterator[KeyPath]:
    """The key paths at which a fleet, in plain values, may name files and folders."""
    yield from SERVER_PLACES
    for name, entry in document["models"].items():
        yield from (("models", name, key) for key in MODEL_PLACES)
        yield from (("models", name, "sources", role) for role in entry.get("sources", ()))


def place_of(tree: Tree, path: KeyPath, located: Callable[[Path], Path] = lambda folder: folder) -> Path | None:
    """The absolute path of the file or folder at a key path, from the folder of the file that names it, or from the
    current one in an override; None where it names nothing. A link stays a link, so that it may lead elsewhere after a
    reload. ``located``: the folder of a file -> where the reader knows that folder to be.
    """
    value = tree.at(path)
    if not isinstance(value, str) or value in ("", MISSING) or "\0" in value:
        return None
    origin = tree.origin(path)
    base = Path() if origin.override else Path(origin.file or tree.file).parent
    return Path(os.path.abspath(located(base.absolute()) / Path(value).expanduser()))  # noqa: PTH100 - keeps links


def parent_of(document: dict[str, Any], path: KeyPath) -> dict[str, Any] | None:
    """The mapping that has the key at a path; None where there is none."""
    parent: Any = document
    for part in path[:-1]:
        parent = parent.get(part) if isinstance(parent, dict) else None
    return parent if isinstance(parent, dict) and path[-1] in parent else None


def missing_file(tree: Tree, path: KeyPath) -> Problem:
    """The problem of a key that names a file which does not exist.

    Args:
        tree: The document.
        path: The key.

    Returns:
        The problem, at the key.
    """
    return Problem("no-such-file", f"The file {tree.at(path)} does not exist.", tree.origin(path), path)
