"""Rows that come one by one, from anything that can be iterated over."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

from hfspec.errors import InputError, RowError
from hfspec.inputs.cells import found
from hfspec.inputs.row import Row


def each_row(
    data: Any, read: Callable[[Any], list[Row]], refused: MutableMapping[int, RowError] | None = None
) -> Iterator[Row]:
    """The rows of ``data``, numbered from 0 over all of it. ``read`` makes rows of what predict takes.

    Raises InputError at once for what holds no rows. A row that is wrong raises InputError naming it; where ``refused``
    is given, its error is put there under its number instead, and the row that stands for it has no values.
    """
    if _is_whole(data):
        return iter(read(data)) if refused is None else _pieces(data, read, refused)
    if isinstance(data, str | bytes | bytearray | Mapping) or not isinstance(data, Iterable):
        raise InputError(
            f"expected rows to go through, such as a list or a generator; found {found(data)}. For one row give a list"
            " that holds it, or use predict."
        )
    return (_row(number, [item], read, refused) for number, item in enumerate(data))


def _pieces(data: Any, read: Callable[[Any], list[Row]], refused: MutableMapping[int, RowError]) -> Iterator[Row]:
    """The rows of a frame, a series or an array, read one by one."""
    slices = data.iloc if hasattr(data, "iloc") else data
    return (_row(number, slices[number : number + 1], read, refused) for number in range(len(data)))


def _row(
    number: int, item: Any, read: Callable[[Any], list[Row]], refused: MutableMapping[int, RowError] | None
) -> Row:
    try:
        (row,) = _read(item, read)
    except InputError as error:
        wrong = InputError(error.reason, row=number)
        if refused is None:
            raise wrong from error
        refused[number] = wrong
        return Row(number, {})
    return replace(row, number=number)


def _read(item: Any, read: Callable[[Any], list[Row]]) -> list[Row]:
    if isinstance(item, list) and isinstance(item[0], InputError):  # from what reads the rows, such as lines of JSON
        raise item[0]
    return read(item)


def _is_whole(data: Any) -> bool:
    """Whether the data is a frame, a series or an array, whose own iteration does not give rows."""
    pandas, numpy = sys.modules.get("pandas"), sys.modules.get("numpy")
    return (pandas is not None and isinstance(data, pandas.DataFrame | pandas.Series)) or (
        numpy is not None and isinstance(data, numpy.ndarray)
    )
