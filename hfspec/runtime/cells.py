"""One value of one column: whether it is there, and whether it is of the column's type. Nothing is converted."""

from __future__ import annotations

import sys
from typing import Any

from hfspec.errors import InputError
from hfspec.ir.signature import Column

NUMBERS = {"integer", "long", "float", "double"}
WORDS = {"string": "text (str)", "boolean": "true or false", "binary": "bytes", "object": "a mapping"}


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
        return _text(value, column, row)
    raise InputError(f"{_place(column)}: expected {_expected(column)}, found {found(value)}.{_remedy(value)}", row=row)


def found(value: Any) -> str:
    """A value in an error's words: its type and how it begins."""
    text = repr(value)
    return f"{text[:60] + '…' if len(text) > 60 else text} ({type(value).__name__})"


def _text(value: str, column: Column, row: int) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{_place(column)}: the text is not valid Unicode: character {error.start} is half of a surrogate pair.",
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
    return isinstance(value, bytes | bytearray if kind == "binary" else dict)


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
