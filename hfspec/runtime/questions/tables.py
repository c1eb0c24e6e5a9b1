"""A table in any form as columns and rows of text.

Forms: a dict of columns (a list of cells each, or a mapping of row to cell, as pandas has it), a list of records, the
JSON text of either, a pandas DataFrame. A cell is the text that Python writes for its value (5 is "5", true is "True");
a missing one (None, null, nan, a record's missing key) is the empty text. In JSON text a number stays as it is written
("1.50"). Nothing is evaluated.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hfspec.errors import InputError
from hfspec.inputs.cells import found, is_missing
from hfspec.inputs.frames import is_frame

FORMS = (
    "a dict of columns (name: list of cells), a list of records (dicts of name: cell), the JSON text of either, or a"
    " DataFrame"
)
CELLS = (str, bool, int, float, Decimal, dt.date, dt.time, dt.timedelta)


@dataclass(frozen=True, slots=True)
class TextTable:
    """Column names and, row by row, as many cells each."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def text_table(value: Any, row: int) -> TextTable:
    """The table in ``value``, of this row of the input; raises InputError naming that row."""
    table = _any_form(value, row)
    if not table.columns or not table.rows:
        raise InputError("column 'table': the table is empty; it needs at least one row.", row=row)
    return table


def _any_form(value: Any, row: int) -> TextTable:
    if isinstance(value, str):
        value = _parsed(value, row)
    if isinstance(value, Mapping):
        return _of_columns(value, row)
    if isinstance(value, list | tuple):
        return _of_records(value, row)
    if is_frame(value):
        cells = zip(*(value.iloc[:, place].tolist() for place in range(value.shape[1])), strict=True)
        return _table(list(value.columns), list(cells), row)
    raise InputError(f"column 'table': expected {FORMS}; found {found(value)}.", row=row)


def _parsed(text: str, row: int) -> Any:
    try:
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=_constant, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"column 'table': the text is not a table in JSON: {error}; a table is {FORMS}.", row=row
        ) from error


def _constant(name: str) -> str | None:
    return None if name == "NaN" else name


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; raises ValueError for a name that is there twice, since one of the two would be lost."""
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return result


def _of_columns(value: Mapping[Any, Any], row: int) -> TextTable:
    columns = {name: _column(name, cells, row) for name, cells in value.items()}
    indexes = {name: tuple(cells) for name, cells in value.items() if isinstance(cells, Mapping)}
    sizes = {str(name): len(cells) for name, cells in columns.items()}
    if len(set(sizes.values())) > 1 or len(set(indexes.values())) > 1:
        raise InputError(f"column 'table': the table's columns must have the same rows; rows: {sizes}.", row=row)
    return _table(list(columns), list(zip(*columns.values(), strict=True)), row)


def _column(name: Any, cells: Any, row: int) -> list[Any]:
    if isinstance(cells, Mapping):
        return list(cells.values())
    values = cells.tolist() if hasattr(cells, "tolist") and getattr(cells, "ndim", 0) == 1 else cells
    if isinstance(values, list | tuple):
        return list(values)
    raise InputError(
        f"column 'table': expected a list of cells as the table's column {name!r}; found {found(cells)}.", row=row
    )


def _of_records(value: Sequence[Any], row: int) -> TextTable:
    for number, record in enumerate(value):
        if not isinstance(record, Mapping):
            raise InputError(
                f"column 'table': expected a record (a dict of name: cell) as row {number} of the table;"
                f" found {found(record)}.",
                row=row,
            )
    names = list(dict.fromkeys(name for record in value for name in record))
    return _table(names, [[record.get(name) for name in names] for record in value], row)


def _table(names: Sequence[Any], lines: Sequence[Sequence[Any]], row: int) -> TextTable:
    rows = tuple(
        tuple(_cell(cell, name, number, row) for name, cell in zip(names, line, strict=True))
        for number, line in enumerate(lines)
    )
    return TextTable(tuple("" if is_missing(name) else str(name) for name in names), rows)


def _cell(value: Any, name: Any, number: int, row: int) -> str:
    if is_missing(value):
        return ""
    native = value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value
    if isinstance(native, CELLS):
        return str(native)
    raise InputError(
        f"column 'table': a cell is text, a number, true, false or null; found {found(value)} in row {number}, column"
        f" {name!r} of the table.",
        row=row,
    )
