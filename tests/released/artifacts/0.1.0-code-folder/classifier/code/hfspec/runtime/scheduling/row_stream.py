"""Rows that come one by one, from anything that can be iterated over."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from hfspec.errors import InputError
from hfspec.runtime.cells import found
from hfspec.runtime.family import Row


def each_row(data: Any, read: Callable[[Any], list[Row]]) -> Iterator[Row]:
    """The rows of ``data``, numbered from 0 over all of it. ``read`` makes rows of what predict takes.

    Raises InputError at once for what holds no rows, and naming the row for one that is wrong.
    """
    if _is_whole(data):
        return iter(read(data))
    if isinstance(data, str | bytes | bytearray | Mapping) or not isinstance(data, Iterable):
        raise InputError(
            f"expected rows to go through, such as a list or a generator; found {found(data)}. For one row give a list"
            " that holds it, or use predict."
        )
    return (_row(number, item, read) for number, item in enumerate(data))


def _row(number: int, item: Any, read: Callable[[Any], list[Row]]) -> Row:
    try:
        (row,) = read([item])
    except InputError as error:
        raise InputError(error.reason, row=number) from error
    return replace(row, number=number)


def _is_whole(data: Any) -> bool:
    """Whether the data is a frame, a series or an array, whose own iteration does not give rows."""
    pandas, numpy = sys.modules.get("pandas"), sys.modules.get("numpy")
    return (pandas is not None and isinstance(data, pandas.DataFrame | pandas.Series)) or (
        numpy is not None and isinstance(data, numpy.ndarray)
    )
