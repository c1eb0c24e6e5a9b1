"""The check that objects and arrays in an answer, such as boxes and masks, have the fields of the signature."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from hfspec.ir.signature import Column

SAME = {"float": "double", "integer": "long"}
NAMES = {bool: "boolean", int: "long", float: "double", str: "string", bytes: "binary"}  # a bool is an int, too
KINDS = {"b": "boolean", "i": "long", "u": "long", "f": "double", "U": "string"}  # of numpy's dtypes
LIMITS = {"integer": 2**31, "long": 2**63}


def mismatch(value: Any, column: Column, field: str) -> str | None:
    """A text on the first part that differs from the signature, with both; None where none does. ``field``: the name of
    the value.
    """
    if column.type == "any":
        return None
    if column.type == "object":
        return _of_object(value, column, field)
    if column.type == "array":
        return _of_array(value, column, field)
    if kind_of(value) != SAME.get(column.type, column.type):
        return f"{field} is {column.type}, but it is {kind_of(value)}"
    if column.type in LIMITS and not _fits(int(value), column.type):
        return f"{field} is {column.type}, but {value} is too large for it"
    return None


def infinite(value: Any, field: str) -> str | None:
    """The name of the first part that is nan or an infinity; None where every number is finite."""
    if isinstance(value, Mapping):
        return _first(infinite(one, f"{field}.{key}") for key, one in value.items())
    if isinstance(value, list | tuple):
        return _first(infinite(one, f"{field}[{place}]") for place, one in enumerate(value))
    if getattr(getattr(value, "dtype", None), "kind", "") == "f":
        return _infinite_in_array(value, field)
    return field if isinstance(value, float) and not math.isfinite(value) else None


def kind_of(value: Any) -> str:
    """MLflow's name for the type of one value; the Python type's name where MLflow has none."""
    if value is None:
        return "null"
    for kind_of_value, name in NAMES.items():
        if isinstance(value, kind_of_value):
            return name
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return KINDS[kind] if kind in KINDS and getattr(value, "ndim", 1) == 0 else type(value).__name__


def _of_object(value: Any, column: Column, field: str) -> str | None:
    if not isinstance(value, Mapping):
        return f"{field} is {column.described()}, but it is {kind_of(value)}"
    if not column.fields:
        return None
    names = {one.name for one in column.fields}
    unknown = next((key for key in value if key not in names), None)
    if unknown is not None:
        return f"{field} is {column.described()}, but it has {unknown!r}"
    return _first(_of_field(value, one, field) for one in column.fields)


def _of_field(value: Mapping[Any, Any], column: Column, field: str) -> str | None:
    if column.name not in value:
        return f"{field} has {column.name!r}, but it has none" if column.required else None
    if value[column.name] is None and not column.required:
        return None
    return mismatch(value[column.name], column, f"{field}.{column.name}")


def _of_array(value: Any, column: Column, field: str) -> str | None:
    if getattr(getattr(value, "dtype", None), "kind", "O") != "O" and getattr(value, "ndim", 0):
        return _of_numbers(value, column, field)
    if not isinstance(value, list | tuple):
        return f"{field} is {column.described()}, but it is {kind_of(value)}"
    item = column.item
    assert item is not None
    return _first(mismatch(one, item, f"{field}[{place}]") for place, one in enumerate(value))


def _of_numbers(array: Any, column: Column, field: str) -> str | None:
    """The mismatch of a numpy array, which stands for arrays in arrays and has one type to look at."""
    leaf: Column | None = column
    for _ in range(array.ndim):
        leaf = leaf if leaf is None or leaf.type == "any" else leaf.item
    if leaf is not None and leaf.type == "any":
        return None
    if leaf is None or KINDS.get(array.dtype.kind) != SAME.get(leaf.type, leaf.type):
        return f"{field} is {column.described()}, but it is an array of {array.dtype} with {array.ndim} dimensions"
    if (
        leaf.type in LIMITS
        and array.size
        and not (_fits(int(array.min()), leaf.type) and _fits(int(array.max()), leaf.type))
    ):
        return f"{field} is {column.described()}, but a number of it is too large for that"
    return None


def _fits(number: int, kind: str) -> bool:
    return -LIMITS[kind] <= number < LIMITS[kind]


def _infinite_in_array(array: Any, field: str) -> str | None:
    import numpy as np

    whole = np.isfinite(array)
    if whole.all():
        return None
    return field + "".join(f"[{place}]" for place in np.argwhere(~whole)[0])


def _first(faults: Iterable[str | None]) -> str | None:
    return next((fault for fault in faults if fault is not None), None)
