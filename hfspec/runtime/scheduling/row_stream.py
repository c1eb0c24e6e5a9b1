"""Rows that come one by one, from anything that can be iterated over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

from hfspec.errors import InputError, RowError
from hfspec.inputs.cells import found
from hfspec.inputs.frames import is_array, is_frame, is_series
from hfspec.inputs.row import Row


def each_row(
    data: Any, parse: Callable[[Any], list[Row]], refused: MutableMapping[int, RowError] | None = None
) -> Iterator[Row]:
    """Read rows one by one.

    Args:
        data: The rows.
        parse: Makes rows of an input of predict.
        refused: Takes the errors of wrong rows by their numbers; the row in such a row's place has no values.

    Returns:
        The rows, numbered from 0 over all of ``data``.

    Raises:
        InputError: At once for data without rows; naming it for a row that is wrong, without ``refused``.
    """
    if _is_whole(data):
        return iter(parse(data)) if refused is None else _pieces(data, parse, refused)
    if isinstance(data, str | bytes | bytearray | Mapping) or not isinstance(data, Iterable):
        raise InputError(
            f"expected rows to go through, such as a list or a generator; found {found(data)}. For one row give a list"
            " that holds it, or use predict."
        )
    return (_row(number, [item], parse, refused) for number, item in enumerate(data))


def _pieces(data: Any, parse: Callable[[Any], list[Row]], refused: MutableMapping[int, RowError]) -> Iterator[Row]:
    """The rows of a frame, a series or an array, read one by one."""
    slices = data.iloc if hasattr(data, "iloc") else data
    return (_row(number, slices[number : number + 1], parse, refused) for number in range(len(data)))


def _row(
    number: int, item: Any, parse: Callable[[Any], list[Row]], refused: MutableMapping[int, RowError] | None
) -> Row:
    try:
        (row,) = _read(item, parse)
    except InputError as error:
        problem = InputError(error.reason, number, error.key)
        if refused is None:
            raise problem from error
        refused[number] = problem
        return Row(number, {})
    return replace(row, number=number)


def _read(item: Any, parse: Callable[[Any], list[Row]]) -> list[Row]:
    if isinstance(item, list) and isinstance(item[0], InputError):  # from a reader of rows, such as that of JSON lines
        raise item[0]
    return parse(item)


def _is_whole(data: Any) -> bool:
    """Whether the data is a frame, a series or an array, whose own iteration does not give rows."""
    return is_frame(data) or is_series(data) or is_array(data)
