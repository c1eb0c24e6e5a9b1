"""The parts that the accounts of specs and of artifacts have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hfspec.ir.frozen import FrozenDict
from hfspec.ir.signature import Column, Param, Signature, Tensor
from hfspec.ir.tree import Tree
from hfspec.tasks.libraries import LIBRARIES
from hfspec.tasks.table import canonical


def account(groups: Mapping[str, Any]) -> FrozenDict:
    """Make an account of groups.

    Args:
        groups: Name -> what the group says.

    Returns:
        The groups that say something: None and what is empty are left out.
    """
    return FrozenDict({group: value for group, value in groups.items() if value is not None and value not in ((), {})})


def hide_environment(document: Any, tree: Tree) -> None:
    """Put the interpolation in the place of each value that it took from the environment.

    Args:
        document: What a document says, in plain values; it is changed.
        tree: The document.
    """
    for path, text in tree.hidden.items():
        parent: Any = document
        for part in path[:-1]:
            parent = _inside(parent).get(part)
        if isinstance(parent, dict) or path[-1] in _inside(parent):
            parent[path[-1]] = text


def _inside(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    return dict(enumerate(value)) if isinstance(value, list) else {}


def task_name(library: str, name: str) -> str:
    """Give a task its canonical name.

    Args:
        library: The library that runs the model.
        name: The name of the task, or an alias.

    Returns:
        The canonical name; a name that a pattern gives, such as a translation with its languages, stays as written.
    """
    patterns = LIBRARIES[library].task_patterns.values() if library in LIBRARIES else ()
    return name if any(pattern.fullmatch(name) for pattern in patterns) else canonical(library, name)


def signature_parts(signature: Signature) -> dict[str, Any]:
    """Take a signature apart, so that its parts can be compared.

    Args:
        signature: The signature, as JSON.

    Returns:
        Inputs and outputs by column, with the columns' order, and params by name.
    """
    return {
        "inputs": _side(signature.inputs),
        "outputs": _side(signature.outputs),
        "params": {param.name: _param(param) for param in signature.params},
    }


def _side(side: tuple[Column, ...] | Tensor) -> Any:
    if isinstance(side, Tensor):
        return f"array of {side.dtype}, shape ({', '.join('any' if size < 0 else str(size) for size in side.shape)})"
    return {column.name or f"column {place}": _column(column) for place, column in enumerate(side, start=1)}


def _column(column: Column) -> str:
    return column.described() if column.required else f"{column.described()} (optional)"


def _param(param: Param) -> dict[str, Any]:
    return {key: value for key, value in param.to_json().items() if key != "name"}
