"""Files whose keys Hydra puts where a spec has none: a config group without ``# @package _global_``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hfspec.ir.frozen import FrozenDict, thaw
from hfspec.ir.problem import KeyPath, Origin, Problem, dotted
from hfspec.ir.tree import Tree
from hfspec.language import key_places
from hfspec.language.kind import DocumentKind


def lifted(tree: Tree, kind: DocumentKind) -> tuple[Tree, list[Problem]]:
    """Lift the keys of files that Hydra has put below the name of their folder.

    Args:
        tree: The document, put together from its files.
        kind: What kind of document it is.

    Returns:
        The tree with such keys at its top level, where they were meant, and a problem for each file.
    """
    strays = {path: origin for path, origin in tree.packages.items() if not key_places.holds_keys(path, kind)}
    problems = []
    for package, origin in strays.items():
        problems.append(_problem(package, origin, kind))
        tree = _without_package(tree, package)
    return tree, problems


def _problem(package: KeyPath, origin: Origin, kind: DocumentKind) -> Problem:
    group = str(package[0])
    message = f"Hydra puts the keys of this file under `{dotted(package)}`, and a {kind.noun} has no such key."
    remedy = f"Begin {origin.file} with the line `# @package _global_`, so that its keys are the {kind.noun}'s own."
    if not group.startswith("_"):
        remedy += (
            f" Call the group `_{group}`, so that `hfspec validate` does not take its files for whole {kind.plural}."
        )
    return Problem("unknown-key", message, origin, package, remedy=remedy)


def _without_package(tree: Tree, package: KeyPath) -> Tree:
    value = thaw(tree.value)
    parent = value
    for part in package[:-1]:
        parent = parent.get(part, {})
    moved = parent.pop(package[-1], {}) if isinstance(parent, dict) else {}
    for length in range(len(package) - 1, 0, -1):
        _drop_empty(value, package[:length])
    for key, item in moved.items() if isinstance(moved, Mapping) else ():
        value[key] = _merged(item, value[key]) if key in value else item
    origins = {path: origin for path, origin in tree.origins.items() if path[: len(package)] != package}
    texts = {path: text for path, text in tree.texts.items() if path[: len(package)] != package}
    return replace(
        tree,
        value=FrozenDict(value),
        origins={**_inside(tree.origins, package), **origins},
        texts={**_inside(tree.texts, package), **texts},
    )


def _drop_empty(value: dict[str, Any], path: KeyPath) -> None:
    parent: Any = value
    for part in path[:-1]:
        parent = parent.get(part, {})
    if parent.get(path[-1]) == {}:
        del parent[path[-1]]


def _merged(under: Any, over: Any) -> Any:
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    return {**under, **{key: _merged(under[key], item) if key in under else item for key, item in over.items()}}


def _inside(table: Mapping[KeyPath, Any], package: KeyPath) -> dict[KeyPath, Any]:
    length = len(package)
    return {path[length:]: entry for path, entry in table.items() if path[:length] == package and len(path) > length}
