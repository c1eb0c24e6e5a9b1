"""Where in a spec a key of a given name can stand: the other way round than the schema says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from functools import cache
from typing import Any

from hfspec.ir.problem import KeyPath
from hfspec.language import composed
from hfspec.tasks.task import Task

NEAR = 0.8
# Mappings whose keys the language does not choose.
FREE: tuple[KeyPath, ...] = (("metadata",), ("input_example",), ("signature", "params"))


def places_of(name: str, task: Task | None) -> list[KeyPath]:
    """Every place of a key of this name, a setting of the task first; of nearly this name where none has it."""
    places = [*_settings(task), *_fixed()]
    exact = [path for path in places if path[-1] == name]
    if exact:
        return exact
    plain = name.lower().replace("-", "_")
    rated = [(SequenceMatcher(None, plain, str(path[-1]).lower()).ratio(), path) for path in places]
    best = max((ratio for ratio, _ in rated), default=0.0)
    return [path for ratio, path in rated if ratio == best] if best >= NEAR else []


def holds_keys(path: KeyPath) -> bool:
    """Whether the language has a mapping at this path."""
    return any(path[: len(free)] == free for free in FREE) or path in _mappings()


def is_key(name: str) -> bool:
    """Whether the language has a key of this name at its top level."""
    return (name,) in _fixed()


def _settings(task: Task | None) -> list[KeyPath]:
    return [("model_config", setting.name) for setting in task.settings] if task else []


@cache
def _fixed() -> tuple[KeyPath, ...]:
    """The keys of the language but for the tasks' settings, the shallow ones first."""
    schema = composed.schema()
    paths = [path for path, _ in _keys(schema["$defs"]["SpecBase"], ())]
    return tuple(sorted(dict.fromkeys([("library",), *paths]), key=len))


@cache
def _mappings() -> frozenset[KeyPath]:
    base = composed.schema()["$defs"]["SpecBase"]
    return frozenset(path for path, definition in _keys(base, ()) if "object" in _types(definition))


def _keys(definition: Mapping[str, Any], path: KeyPath) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    for name, item in definition.get("properties", {}).items():
        inner = _followed(item)
        yield (*path, name), {**item, **inner}
        yield from _keys(inner, (*path, name))


def _followed(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """The definition that a reference, or the branch for a mapping, leads to."""
    reference = definition.get("$ref") or definition.get("then", {}).get("$ref")
    if reference is None:
        return definition
    found: Mapping[str, Any] = composed.schema()["$defs"][reference.rpartition("/")[2]]
    return found


def _types(definition: Mapping[str, Any]) -> list[str]:
    types = definition.get("type", [])
    return [types] if isinstance(types, str) else list(types)
