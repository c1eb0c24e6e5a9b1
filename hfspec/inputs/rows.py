"""Any form of input as rows of named columns.

Accepted: a value, a list of values, a dict of a row's columns, a dict of lists of them, a list of dicts, pairs for
tasks over pairs, numpy arrays of text, pandas Series and DataFrames. A column of type binary also takes what stands for
bytes: a path or URI, base64 text, an array of numbers (one value, never rows), a mapping that holds one of them.
Columns are matched by name; the one exception is a frame of a single column, which fills the only required column
whatever its name. Columns that the task does not have are left alone, unless one is a misspelling of one it has. Text
is never evaluated, stripped or changed. An empty list is a good input of no rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from hfspec.errors import InputError
from hfspec.inputs.cells import BINARY_WORDS, checked, found, is_binary_mapping, is_missing, misspelt
from hfspec.inputs.frames import is_array, is_frame, is_series
from hfspec.inputs.row import Row
from hfspec.ir.signature import NESTED, Column, Tensor
from hfspec.tasks.prompt_template import input_columns
from hfspec.tasks.task import Task

FORMS = {"string": "text, a list of texts", "binary": f"{BINARY_WORDS}, a list of these"}


class Columns:
    """The columns a row may have: the task's, or the slots of its prompt template, under the names that the signature
    gives them. A column of the signature that neither has is checked and left alone; the first such one stands for the
    task's first column where the signature does not name that. ``main``: the column that a bare value fills.
    """

    def __init__(self, task: Task, inputs: tuple[Column, ...] | Tensor, template: str | None = None) -> None:
        task_columns = input_columns(task, template)
        own = {column.name: column for column in task_columns}
        columns = task_columns if isinstance(inputs, Tensor) else inputs
        first, names = task_columns[0], {column.name for column in columns}
        self.by_name: dict[str, Column] = {}
        self.target: dict[str, str] = {}
        for column in columns:
            name = column.name or str(first.name)
            meant = own.get(name)
            if meant is None and first.name not in {*names, *self.target.values()}:
                meant = first
            self.by_name[name] = Column(meant.type if meant else column.type, name, column.required)
            if meant is not None:
                self.target[name] = str(meant.name)
        self.main = next((name for name, target in self.target.items() if target == first.name), self.names[0])
        self.is_pair = template is None and _begin_with_two_texts(columns) and self._types()[:2] == ["string", "string"]

    def _types(self) -> list[str]:
        return [self.by_name[name].type for name in self.target]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.by_name)

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(name for name, column in self.by_name.items() if column.required)

    def allowed(self) -> str:
        """The forms of input, in words."""
        columns = ", ".join(name if name in self.required else f"{name} (optional)" for name in self.names)
        values = FORMS.get(self.by_name[self.main].type, "a value, a list of values")
        return (
            f"{values}, a dict or a list of dicts with the columns {columns}, a pandas Series or DataFrame,"
            " or a numpy array of such values"
        )

    def is_value(self, data: Any) -> bool:
        """Whether a mapping or an array is one value of the first column, and no row or rows."""
        if self.by_name[self.main].type != "binary":
            return False
        if is_array(data):
            return not _holds_objects(data)
        return is_binary_mapping(data) and self.main not in data

    def row(self, number: int, values: Mapping[Any, Any]) -> Row:
        """The row that these named values make; raises InputError naming it."""
        self.check_names(tuple(values), number)
        result = {}
        for name, column in self.by_name.items():
            value = values.get(name)
            if name in values and not (is_missing(value) and not column.required):
                found_here = checked(value, column, number)
                if name in self.target:
                    result[self.target[name]] = found_here
        return Row(number, result)

    def bare(self, number: int, value: Any) -> Row:
        """The row of a value without a name; raises InputError naming it."""
        if self.is_pair and isinstance(value, list | tuple) and len(value) == 2:
            return self.row(number, dict(zip(self.names[:2], value, strict=True)))
        if isinstance(value, list | tuple):
            raise InputError(f"expected one value, found {found(value)}; allowed: {self.allowed()}.", row=number)
        others = [name for name in self.required if name != self.main]
        if others:
            raise InputError(f"a value alone is not enough: columns {', '.join(self.required)} are needed.", row=number)
        return self.row(number, {self.main: value})

    def check_names(self, names: Sequence[Any], number: int | None) -> None:
        for name in self.required:
            if name not in names:
                raise InputError(self._missing(name, names), row=number)
        for name in names:
            near = get_close_matches(str(name), self.names, n=1, cutoff=0.75) if name not in self.by_name else []
            if near and near[0] not in names:
                raise InputError(f"no column is named {name!r}; did you mean {near[0]!r}?", row=number)

    def _missing(self, name: str, names: Sequence[Any]) -> str:
        text = ", ".join(repr(other) for other in names) or "none"
        return f"the column {name!r} is missing; the columns given are {text}{misspelt(name, names)}."


def _begin_with_two_texts(columns: Sequence[Column]) -> bool:
    """Whether two texts make a row: they fill the first two columns, and no row needs more."""
    types = [column.type for column in columns[:2]]
    return types == ["string", "string"] and not any(column.required for column in columns[2:])


def to_rows(data: Any, columns: Columns) -> list[Row]:
    """The input as rows, numbered from 0; raises InputError."""
    if is_frame(data):
        return _frame(data, columns)
    if is_series(data):
        return [columns.bare(number, value) for number, value in enumerate(data.tolist())]
    if isinstance(data, Mapping) and not columns.is_value(data):
        return _mapping(data, columns)
    if is_array(data) and not columns.is_value(data):
        return _array(data, columns)
    if isinstance(data, list | tuple):
        return _list(data, columns)
    if isinstance(data, str) or not _is_text_task(columns):
        return [columns.bare(0, data)]
    raise InputError(f"expected {columns.allowed()}; found {found(data)}.")


def index_of(data: Any) -> Any:
    """The index of a DataFrame or a Series, None for any other input."""
    return data.index if is_frame(data) or is_series(data) else None


def _list(data: Sequence[Any], columns: Columns) -> list[Row]:
    if data and all(isinstance(item, Mapping) and {"role", "content"} <= set(item) for item in data):
        raise InputError(
            "this is a list of chat messages (role, content), which this task does not take: give the prompt as text."
            " Chat is a task of its own."
        )
    rows = []
    for number, item in enumerate(data):
        is_row = isinstance(item, Mapping) and not columns.is_value(item)
        rows.append(columns.row(number, item) if is_row else columns.bare(number, item))
    return rows


def _mapping(data: Mapping[Any, Any], columns: Columns) -> list[Row]:
    """One row, or as many as its lists are long; a value beside lists holds for every row."""
    mine = {name: value for name, value in data.items() if name in columns.by_name}
    lists = {name: list(value) for name, value in mine.items() if _is_listing(value, columns.by_name[name])}
    if not lists:
        return [columns.row(0, data)]
    sizes = {name: len(value) for name, value in lists.items()}
    if len(set(sizes.values())) != 1:
        raise InputError(f"the lists in a dict of columns must be of one length; lengths: {sizes}.")
    columns.check_names(tuple(data), None)
    length = next(iter(sizes.values()))
    return [
        columns.row(number, {name: lists[name][number] if name in lists else mine[name] for name in mine})
        for number in range(length)
    ]


def _frame(data: Any, columns: Columns) -> list[Row]:
    names = list(data.columns)
    if len(set(names)) != len(names):
        raise InputError(f"the DataFrame has columns of the same name: {', '.join(map(str, names))}.")
    if len(names) == 1 and len(columns.required) == 1 and names[0] not in columns.by_name:
        return [columns.row(number, {columns.required[0]: cell}) for number, cell in enumerate(data.iloc[:, 0])]
    columns.check_names(names, None)
    mine = [name for name in names if name in columns.by_name]
    cells = zip(*(data[name].tolist() for name in mine), strict=True)
    return [columns.row(number, dict(zip(mine, row, strict=True))) for number, row in enumerate(cells)]


def _array(data: Any, columns: Columns) -> list[Row]:
    if data.ndim == 2 and data.shape[1] == 1:
        return _list(data[:, 0].tolist(), columns)
    if data.ndim <= 1 or (data.ndim == 2 and data.shape[1] == 2 and columns.is_pair):
        value = data.tolist()
        return _list(value, columns) if isinstance(value, list) else to_rows(value, columns)
    raise InputError(f"an array of shape {tuple(data.shape)} is not rows of text; allowed: {columns.allowed()}.")


def _is_listing(value: Any, column: Column) -> bool:
    """Whether a dict's value is a list with an item for each row. A column of any type may hold a list itself, so that
    only a list of lists is one for each row.
    """
    if column.type in {"any", *NESTED}:
        return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, list | tuple) for item in value)
    if column.type == "binary" and is_array(value):
        return _holds_objects(value)
    return isinstance(value, list | tuple) or is_array(value)


def _holds_objects(array: Any) -> bool:
    """Whether an array holds rows (objects, bytes, texts) rather than numbers."""
    return array.dtype.kind in "OSU"


def _is_text_task(columns: Columns) -> bool:
    return all(column.type == "string" for column in columns.by_name.values())
