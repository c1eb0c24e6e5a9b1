"""The file of examples that a spec's ``quantization.calibration`` names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hfspec.checkpoint.places import folder_of
from hfspec.errors import SpecError
from hfspec.ir.calibration import Calibration, CalibrationExample
from hfspec.ir.frozen import FrozenDict, freeze
from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.source_kinds import portable
from hfspec.ir.spec import Spec
from hfspec.ir.tree import Tree
from hfspec.tasks.table import find

AT: KeyPath = ("quantization", "calibration")
LARGEST = 64 << 20  # bytes
GOLDEN = frozenset({"input", "output", "params", "tolerance"})


def calibration(spec: Spec, tree: Tree) -> Calibration | None:
    """Read the examples.

    Args:
        spec: The spec.
        tree: Where its keys were written.

    Returns:
        The examples; None where the spec names no file.

    Raises:
        SpecError: The file cannot be read, or holds something else than examples.
    """
    path = spec.quantization.calibration if spec.quantization else None
    if path is None:
        return None
    data = _bytes(tree, path)
    task = find(spec.library, spec.task)
    is_column = task is not None and any(column.name == "input" for column in task.inputs)
    examples = tuple(_example(place, value, is_column=is_column) for place, value in _values(tree, path, data))
    if not examples:
        raise _refusal(tree, f"{path} holds no example.")
    return Calibration(portable("path", path), hashlib.sha256(data).hexdigest(), examples)


def _bytes(tree: Tree, path: str) -> bytes:
    file = folder_of(tree, AT) / Path(path).expanduser()
    try:
        if file.stat().st_size > LARGEST:
            raise _refusal(tree, f"{path} is larger than {LARGEST >> 20} MB; a few hundred examples are enough.")
        return file.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _refusal(tree, f"The calibration file {path} cannot be read: {reason}.") from error


def _values(tree: Tree, path: str, data: bytes) -> Iterator[tuple[str, Any]]:
    """Each value with its place: the lines of a file, or the items of a list in one that is a JSON document."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refusal(tree, f"{path} is not text in UTF-8 (byte {error.start}).") from error
    if path.endswith(".json"):
        value = _value(tree, path, text)
        if not isinstance(value, list):
            raise _refusal(tree, f"{path} is no list of examples.")
        yield from ((f"example {place}", item) for place, item in enumerate(value))
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"line {number}", _value(tree, f"{path}, line {number}", line)


def _value(tree: Tree, place: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refusal(tree, f"{place}: not JSON: {error}.") from error


def _example(place: str, value: Any, *, is_column: bool) -> CalibrationExample:
    """An input as predict takes it, or a golden example with one. ``is_column``: whether inputs have a key of the name
    ``input``, so that only an output or params tell a golden example from them.
    """
    is_golden = isinstance(value, dict) and "input" in value and set(value) <= GOLDEN
    if is_golden and (not is_column or {"output", "params"} & set(value)):
        return CalibrationExample(place, freeze(value["input"]), FrozenDict(value.get("params") or {}))
    return CalibrationExample(place, freeze(value), FrozenDict())


def _refusal(tree: Tree, message: str) -> SpecError:
    remedy = "Name a file with an input of the task in each line, as JSON; a golden example is one too."
    return SpecError([Problem("calibration", message, tree.origin(AT), AT, remedy=remedy)])
