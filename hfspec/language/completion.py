"""The overrides that a document of the language can take, for a shell that completes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hfspec.errors import HfspecError
from hfspec.ir.problem import KeyPath
from hfspec.ir.tree import Tree
from hfspec.language import key_places
from hfspec.language.kind import ANY_NAME, DocumentKind
from hfspec.language.reading import read_tree
from hfspec.language.task_names import task_of
from hfspec.tasks import table
from hfspec.tasks.libraries import LIBRARIES
from hfspec.tasks.task import Task

SETTINGS = (("model_config",), ("signature", "params"))
MARKS = "+~"  # Hydra's, in front of a key: add, add or change, delete


def completions(incomplete: str, file: Path | None, kind: DocumentKind) -> list[str]:
    """List how an override may go on.

    Args:
        incomplete: Its beginning, such as ``model_config.ma`` or ``dtype=b``.
        file: The document that it is for; where it is missing or wrong, every task's settings are listed.
        kind: The kind of the document.

    Returns:
        Overrides that begin so: whole ones where the values of the key are known, else up to the next ``.`` or ``=``.
    """
    key, equals, value = incomplete.lstrip(MARKS).partition("=")
    marks = incomplete[: len(incomplete) - len(incomplete.lstrip(MARKS))]
    values = _values(_tree(file, kind), kind)
    if equals:
        return [f"{marks}{key}={choice}" for choice in values.get(key, ()) if choice.startswith(value)]
    whole = [name for name in values if name.startswith(key)]
    if len(whole) == 1 and values[whole[0]] and "~" not in marks:
        return [f"{marks}{whole[0]}={choice}" for choice in values[whole[0]]]
    return [f"{marks}{text}" for text in _up_to_next_dot(whole, key, "" if "~" in marks else "=")]


def task_names(library: str | None = None) -> list[str]:
    """List the tasks.

    Args:
        library: The library that has them; by default every one.

    Returns:
        Their names, aliases included, sorted.
    """
    return sorted({name for each in LIBRARIES if library in (None, each) for name in table.names(each)})


def _tree(file: Path | None, kind: DocumentKind) -> Tree | None:
    if file is None:
        return None
    try:
        return read_tree(file, (), kind)
    except (HfspecError, OSError):
        return None


def _values(tree: Tree | None, kind: DocumentKind) -> dict[str, tuple[str, ...]]:
    """The keys that have a value of their own, with the values that are known of each."""
    content = tree.value if tree is not None else None
    values = {
        ".".join(map(str, path)): _choices(definition)
        for pattern, definition in key_places.leaves(kind)
        for path in _named(pattern, content)
    }
    if not kind.has_task:
        return values
    values = {key: choices for key, choices in values.items() if tuple(key.split(".")) not in SETTINGS}
    task = task_of(tree) if tree is not None else None
    library = content.get("library") if isinstance(content, Mapping) else None
    return {
        **values,
        "library": tuple(LIBRARIES),
        "task": tuple(task_names(library if library in LIBRARIES else None)),
        **_settings([task] if task else _all_tasks()),
    }


def _settings(tasks: Iterable[Task]) -> dict[str, tuple[str, ...]]:
    settings = {setting.name: setting.schema() for task in tasks for setting in task.settings}
    return {
        ".".join((*place, name)): _choices(schema) for place in SETTINGS for name, schema in sorted(settings.items())
    }


def _all_tasks() -> Iterator[Task]:
    return (task for library, name in table.TASKS if (task := table.find(library, name)) is not None)


def _named(path: KeyPath, content: Any) -> list[KeyPath]:
    """The path, once for each name that the document has where people choose the names."""
    paths: list[KeyPath] = [()]
    for part in path:
        paths = [
            (*prefix, name) for prefix in paths for name in (_names(content, prefix) if part == ANY_NAME else [part])
        ]
    return paths


def _names(content: Any, path: KeyPath) -> list[str]:
    for part in path:
        content = content.get(part) if isinstance(content, Mapping) else None
    return [str(name) for name in content] if isinstance(content, Mapping) else []


def _choices(definition: Mapping[str, Any]) -> tuple[str, ...]:
    types = definition.get("type", ())
    boolean = [True, False] if types == "boolean" or "boolean" in types else []
    const = [value["const"] for value in (definition, definition.get("else", {})) if "const" in value]
    choices = definition.get("enum") or const or boolean
    return tuple(choice if isinstance(choice, str) else json.dumps(choice) for choice in choices)


def _up_to_next_dot(keys: Iterable[str], prefix: str, end: str) -> list[str]:
    """The keys that may follow at this level; a level at which nothing can be chosen is passed over."""
    keys = list(keys)
    ends = ((key, key.find(".", len(prefix))) for key in keys)
    levels = sorted({key[: dot + 1] if dot >= 0 else f"{key}{end}" for key, dot in ends})
    if len(levels) == 1 and levels[0].endswith("."):
        return _up_to_next_dot(keys, levels[0], end)
    return levels
