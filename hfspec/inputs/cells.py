"""One value of one column: whether it is there, and whether it is of the column's type. Nothing is converted."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from hfspec.errors import InputError
from hfspec.ir.signature import Column

NUMBERS = {"integer", "long", "float", "double"}
BINARY_WORDS = (
    "bytes, a path or URI, base64 text, an array, or a mapping with one of these as bytes, path, array or raw"
)
WORDS = {
    "string": "text (str)",
    "boolean": "true or false",
    "binary": BINARY_WORDS,
    "object": "a mapping",
    "array": "a list",
}
# The keys under which a mapping, such as a row of the datasets library, holds what stands for bytes.
BINARY_KEYS = frozenset({"bytes", "path", "array", "raw"})


def is_missing(value: Any) -> bool:
    """None, nan, and the missing values of pandas."""
    if value is None:
        return True
    if isinstance(value, float):
        return value != value  # noqa: PLR0124 - nan alone differs from itself
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NA or value is pandas.NaT)


def checked(value: Any, column: Column, row: int) -> Any:
    """The value, a str always as Python's own; raises InputError naming the row when its type is another."""
    if is_missing(value):
        raise InputError(f"{_place(column)}: the value is missing ({value!r}); every row needs one.", row=row)
    if column.type == "any" or (column.type != "string" and _is(value, column.type)):
        return value
    if column.type == "string" and isinstance(value, str):
        return plain_text(value, _place(column), row)
    remedy = _remedy(value) if column.type == "string" else ""
    raise InputError(f"{_place(column)}: expected {_expected(column)}, found {found(value)}.{remedy}", row=row)


def is_binary_mapping(value: Any) -> bool:
    """Whether a mapping is itself a value of a binary column."""
    return isinstance(value, Mapping) and not BINARY_KEYS.isdisjoint(value)


def found(value: Any) -> str:
    """A value in an error's words: its type and how it begins."""
    text = repr(value)
    return f"{text[:60] + '…' if len(text) > 60 else text} ({type(value).__name__})"


def misspelt(name: str, names: Iterable[Any]) -> str:
    """The end of a message that a name is missing: which of those that are there may be meant for it."""
    near = get_close_matches(name, map(str, names), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r} to be {name!r}?" if near else ""


def plain_text(value: str, place: str, row: int) -> str:
    """A text as Python's own str.

    Args:
        value: The text.
        place: What a message calls it.
        row: Its row.

    Returns:
        The text.

    Raises:
        InputError: It is not valid Unicode.
    """
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{place}: the text is not valid Unicode: character {error.start} is half of a surrogate pair.",
            row=row,
        ) from error
    return str.__str__(value)


def _is(value: Any, kind: str) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in {"integer", "long"}:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "array":
        return isinstance(value, list | tuple)
    return _stands_for_bytes(value) if kind == "binary" else isinstance(value, dict)


def _stands_for_bytes(value: Any) -> bool:
    """Bytes, or what leads to them or holds them decoded; the task reads it."""
    if isinstance(value, bytes | bytearray | memoryview | str | os.PathLike) or is_binary_mapping(value):
        return True
    is_array = hasattr(value, "__array_interface__") or hasattr(value, "__array__")
    return is_array and getattr(value, "ndim", 1) != 0


def _place(column: Column) -> str:
    return f"column {column.name!r}"


def _expected(column: Column) -> str:
    return WORDS.get(column.type, f"a number ({column.type})")


def _remedy(value: Any) -> str:
    if isinstance(value, bool | int | float):
        return f' If the text "{value}" is meant, give it as a str.'
    if isinstance(value, bytes | bytearray):
        return " Decode bytes to str first."
    return ""
