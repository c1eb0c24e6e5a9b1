"""A document that need not be valid, as typed values: the one place where rules' values are taken out of a raw tree.

A value of another type than its key takes is left out, since the JSON Schema has a problem of it already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hfspec.ir.problem import KeyPath
from hfspec.ir.tree import Tree
from hfspec.language.task_names import task_of
from hfspec.tasks.task import Task


@dataclass(frozen=True, slots=True)
class DraftColumn:
    """A column of the signature."""

    name: Any
    type: Any
    is_required: bool


@dataclass(frozen=True, slots=True)
class DraftParam:
    """A param of the signature."""

    default: Any
    type: Any = None
    minimum: Any = None
    maximum: Any = None
    choices: Any = None
    has_default: bool = True
    is_bare: bool = False
    """Whether the document has a plain value where the param's mapping belongs."""


@dataclass(frozen=True, slots=True)
class DraftGolden:
    """A golden example that has an input and an output."""

    index: int
    input: Any
    output: Any
    tolerance: Any
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """The parts of a document that the rules read."""

    tree: Tree
    library: str | None
    task_name: str | None
    task: Task | None
    """The task of that library and name; None when there is none."""
    dtype: str | None
    compute_dtype: str | None
    prompt_template: str | None
    """None where it is empty, too."""
    options: Mapping[str, tuple[str, ...]]
    """Each component that is given -> the names of its options."""
    inputs: tuple[DraftColumn, ...] | None
    """None where there are none, or they are no list of mappings."""
    outputs: tuple[DraftColumn, ...] | None
    params: Mapping[str, DraftParam]
    settings: frozenset[str]
    """The names in ``model_config``."""
    backend: str | None
    merges: bool
    """Whether the adapter is to be merged."""
    goldens: tuple[DraftGolden, ...]
    licences: tuple[tuple[KeyPath, str], ...] = field(default=())
    """Each entry of ``license_policy`` with its key path."""

    def has(self, *path: str) -> bool:
        """Whether the document has a value at a key path that is not null."""
        return self.tree.at(path) is not None


def draft(tree: Tree) -> Draft:
    """Read a document as typed values.

    Args:
        tree: The document.

    Returns:
        The values; one that is of another type than its key takes is left out.
    """
    return Draft(
        tree,
        _text(tree, "library"),
        _text(tree, "task"),
        task_of(tree),
        _text(tree, "dtype"),
        _text(tree, "runtime", "compute_dtype"),
        _text(tree, "prompt_template") or None,
        {name: tuple(_mapping(tree, "components", name, "options")) for name in _given(tree, "components")},
        _columns(tree, "inputs"),
        _columns(tree, "outputs"),
        {name: _param(value) for name, value in _mapping(tree, "signature", "params").items()},
        frozenset(_mapping(tree, "model_config")),
        _text(tree, "runtime", "backend"),
        tree.at(("adapter", "merge")) is True,
        tuple(_goldens(tree)),
        tuple(_licences(tree)),
    )


def _text(tree: Tree, *path: str) -> str | None:
    value = tree.at(path)
    return value if isinstance(value, str) else None


def _mapping(tree: Tree, *path: str) -> Mapping[str, Any]:
    value = tree.at(path)
    return value if isinstance(value, Mapping) else {}


def _given(tree: Tree, *path: str) -> list[str]:
    return [name for name, value in _mapping(tree, *path).items() if value is not None]


def _columns(tree: Tree, side: str) -> tuple[DraftColumn, ...] | None:
    columns = tree.at(("signature", side))
    if not isinstance(columns, tuple) or not all(isinstance(column, Mapping) for column in columns):
        return None
    return tuple(DraftColumn(one.get("name"), one.get("type"), one.get("required") is not False) for one in columns)


def _param(value: Any) -> DraftParam:
    if not isinstance(value, Mapping):
        return DraftParam(value, is_bare=True)
    limits = (value.get("type"), value.get("minimum"), value.get("maximum"), value.get("choices"))
    return DraftParam(value.get("default"), *limits, has_default="default" in value)


def _goldens(tree: Tree) -> Iterator[DraftGolden]:
    goldens = tree.at(("golden",))
    for index, one in enumerate(goldens if isinstance(goldens, tuple) else ()):
        if isinstance(one, Mapping) and {"input", "output"} <= set(one):
            params = one.get("params")
            params = params if isinstance(params, Mapping) else {}
            yield DraftGolden(index, one["input"], one["output"], one.get("tolerance"), params)


def _licences(tree: Tree) -> Iterator[tuple[KeyPath, str]]:
    for kind, entries in _mapping(tree, "license_policy").items():
        for index, entry in enumerate(entries if isinstance(entries, tuple) else ()):
            if isinstance(entry, str):
                yield ("license_policy", kind, index), entry
