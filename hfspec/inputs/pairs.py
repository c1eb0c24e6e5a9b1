"""Rows over pairs of texts: one pair a row, or one text with a list of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.errors import InputError
from hfspec.inputs.cells import checked, found
from hfspec.inputs.row import Row
from hfspec.ir.signature import Column
from hfspec.tasks.task import Task


@dataclass(frozen=True, slots=True)
class OneAndOthers:
    """``one`` is put beside each of ``others``; ``listed``: they came as a list, which may be empty."""

    one: str
    others: tuple[str, ...]
    listed: bool


def pairs_of(row: Row, task: Task) -> OneAndOthers:
    """The pairs of a row of a task with three columns: a text, another one, or a list of others.

    Raises InputError naming the row.
    """
    first, second, many = (str(column.name) for column in task.inputs)
    if second in row.values and many in row.values:
        raise InputError(f"the row has both {second} and {many}; give one of them.", row=row.number)
    if second in row.values:
        return OneAndOthers(row.values[first], (row.values[second],), listed=False)
    if many in row.values:
        return OneAndOthers(row.values[first], _texts(row.values[many], many, row.number), listed=True)
    raise InputError(
        f"the row has a {first} and nothing to put beside it: give {second} (a text) or {many} (a list of texts).",
        row=row.number,
    )


def _texts(value: Any, name: str, row: int) -> tuple[str, ...]:
    texts = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(texts, list | tuple):
        raise InputError(f"column {name!r}: expected a list of texts, found {found(value)}.", row=row)
    return tuple(checked(text, Column("string", f"{name}[{place}]"), row) for place, text in enumerate(texts))


def refuse_mixed(rows: Sequence[Row], task: Task) -> None:
    """Raises InputError when some rows are single pairs and others lists, whose answers have no common form."""
    lists = [pairs_of(row, task).listed for row in rows]
    for row, mine in zip(rows, lists, strict=True):
        if mine is not lists[0]:
            _, second, many = (column.name for column in task.inputs)
            raise InputError(f"the rows of one call all have {second}, or all have {many}.", row=row.number)
