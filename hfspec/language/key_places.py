"""Where in a spec a key of a given name can stand: the other way round than the schema says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from functools import cache
from typing import Any

from hfspec.ir.problem import KeyPath
from hfspec.language.kind import ANY_NAME, DocumentKind
from hfspec.tasks.task import Task

NEAR = 0.8


def places_of(name: str, task: Task | None, kind: DocumentKind) -> list[KeyPath]:
    """Find every place of a key of a name, a setting of the task first.

    Args:
        name: The key's name.
        task: The task of the document.
        kind: The kind of document: a spec, or another.

    Returns:
        The places; where no key has the name, those of the key with the nearest name.
    """
    places = [*_settings(task), *_fixed(kind)]
    exact = [path for path in places if path[-1] == name]
    if exact:
        return exact
    plain = name.lower().replace("-", "_")
    rated = [(SequenceMatcher(None, plain, str(path[-1]).lower()).ratio(), path) for path in places]
    best = max((ratio for ratio, _ in rated), default=0.0)
    return [path for ratio, path in rated if ratio == best] if best >= NEAR else []


def holds_keys(path: KeyPath, kind: DocumentKind) -> bool:
    """Tell whether a key path leads to a mapping.

    Args:
        path: The key path.
        kind: What kind of document it is in.

    Returns:
        Whether the language has a mapping there.
    """
    return any(path[: len(free)] == free for free in kind.free) or any(
        _is_like(path, place) for place in _mappings(kind)
    )


def is_key(name: str, kind: DocumentKind) -> bool:
    """Tell whether a name is a key.

    Args:
        name: The name.
        kind: What kind of document is meant.

    Returns:
        Whether the language has it at its top level.
    """
    return (name,) in _fixed(kind)


def leaves(kind: DocumentKind) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    """List the keys that hold a value, and not keys of the language.

    Args:
        kind: What kind of document is meant.

    Yields:
        Each one's path, with its definition in the JSON Schema.
    """
    definitions = dict(_keys(kind, _top(kind), ()))
    parents = {path[:-1] for path in definitions}
    yield from ((path, definition) for path, definition in definitions.items() if path not in parents)


def beside(place: KeyPath, path: KeyPath) -> KeyPath:
    """Write a place with the names that people chose in another path.

    Args:
        place: The place.
        path: The path with the chosen names.

    Returns:
        The place with those names, as far as the two paths go the same way.
    """
    result: KeyPath = ()
    for index, part in enumerate(place):
        is_name = part == ANY_NAME and index < len(path) - 1 and path[:index] == result
        result = (*result, path[index] if is_name else part)
    return result


def _is_like(path: KeyPath, pattern: KeyPath) -> bool:
    return len(path) == len(pattern) and all(part in (ANY_NAME, one) for one, part in zip(path, pattern, strict=True))


def _settings(task: Task | None) -> list[KeyPath]:
    return [("model_config", setting.name) for setting in task.settings] if task else []


@cache
def _fixed(kind: DocumentKind) -> tuple[KeyPath, ...]:
    """The keys of the language but for the tasks' settings, the shallow ones first."""
    paths: list[KeyPath] = [path for path, _ in _keys(kind, _top(kind), ())]
    return tuple(sorted(dict.fromkeys([("library",), *paths] if kind.has_task else paths), key=len))


@cache
def _mappings(kind: DocumentKind) -> frozenset[KeyPath]:
    definitions = _keys(kind, _top(kind), ())
    return frozenset(path for path, definition in definitions if "object" in _types(definition))


def _top(kind: DocumentKind) -> Mapping[str, Any]:
    top: Mapping[str, Any] = kind.schema()["$defs"][kind.definition]
    return top


def _keys(
    kind: DocumentKind, definition: Mapping[str, Any], path: KeyPath
) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    values = definition.get("additionalProperties")
    entries = {ANY_NAME: values} if isinstance(values, Mapping) and "$ref" in values else {}
    for name, item in {**definition.get("properties", {}), **entries}.items():
        inner = _followed(kind, item)
        yield (*path, name), {**item, **inner}
        yield from _keys(kind, inner, (*path, name))


def _followed(kind: DocumentKind, definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """The definition that a reference, or the branch for a mapping, leads to."""
    reference = definition.get("$ref") or definition.get("then", {}).get("$ref")
    if reference is None:
        return definition
    target: Mapping[str, Any] = kind.schema()["$defs"][reference.rpartition("/")[2]]
    return target


def _types(definition: Mapping[str, Any]) -> list[str]:
    types = definition.get("type", [])
    return [types] if isinstance(types, str) else list(types)
