"""The check of an answer against the signature."""

from __future__ import annotations

import math
from typing import Any

from hfspec.errors import OutputError
from hfspec.ir.signature import NESTED, Column, Tensor
from hfspec.runtime.io.answers import Table
from hfspec.runtime.io.finite import not_finite
from hfspec.runtime.io.nested import SAME, infinite, mismatch


def check_output(answer: Any, outputs: tuple[Column, ...] | Tensor, dtype: str) -> None:
    """Raises OutputError when the standard answer is not of the signature's ``outputs``, or holds nan or infinity,
    which a later step may make of a model's finite output; ``dtype``: that of the model.
    """
    _check_finite(answer, dtype)
    if isinstance(outputs, Tensor):
        for array in answer if isinstance(answer, list) else [answer]:
            _check_tensor(array, outputs)
    elif all(column.type == "any" for column in outputs):
        return
    elif isinstance(answer, Table):
        _check_table(answer, outputs)
    else:
        _check_list(answer, outputs, dtype)


def _check_finite(answer: Any, dtype: str) -> None:
    if isinstance(answer, Table):
        doubles = [place for place, kind in enumerate(answer.columns.values()) if kind == "double"]
        nested = [(place, name) for place, (name, kind) in enumerate(answer.columns.items()) if kind in NESTED]
        for number, cells in enumerate(answer.rows):
            if not all(math.isfinite(cells[place]) for place in doubles if cells[place] is not None):
                raise not_finite(dtype, _row(answer, number))
            for place, name in nested:
                if (field := infinite(cells[place], name)) is not None:
                    raise not_finite(dtype, _row(answer, number), field)
        return
    for row, array in enumerate(answer if isinstance(answer, list) else [answer]):
        if getattr(getattr(array, "dtype", None), "kind", "") == "f":
            _check_array(array, dtype, row if isinstance(answer, list) else None)


def _row(answer: Table, number: int) -> int:
    """The row of a table's line: the table says it where a row may have several lines."""
    return answer.records()[number]["row"] if "row" in answer.columns else number


def _check_array(array: Any, dtype: str, row: int | None) -> None:
    import numpy as np

    whole = np.isfinite(array)
    if not whole.all():
        first = int(np.argwhere(~whole)[0, 0]) if array.ndim else None
        raise not_finite(dtype, first if row is None else row)


def _check_tensor(answer: Any, tensor: Tensor) -> None:
    shape = tuple(getattr(answer, "shape", ()))
    expected = tensor.shape
    fits = len(shape) == len(expected) and all(want in (-1, size) for want, size in zip(expected, shape, strict=True))
    dtype = str(getattr(answer, "dtype", type(answer).__name__))
    if not fits or dtype != tensor.dtype:
        raise OutputError(
            f"the signature says {tensor.dtype} {list(expected)}, but the model answered {dtype} {list(shape)};"
            " correct signature.output_tensor in the spec."
        )


def _check_table(answer: Table, outputs: tuple[Column, ...]) -> None:
    for column in outputs:
        name = column.name or next(iter(answer.columns))
        kind = answer.columns.get(name)
        if kind is None and column.required:
            raise OutputError(
                f"the signature says the output has a column {name!r}, but the columns are {', '.join(answer.columns)}."
            )
        if kind is not None and SAME.get(column.type, column.type) != kind:
            raise OutputError(f"the signature says the output column {name!r} is {column.type}, but it is {kind}.")
        if kind in NESTED:
            place = list(answer.columns).index(name)
            for number, cells in enumerate(answer.rows):
                if cells[place] is not None or column.required:
                    _check_nested(cells[place], column, name, _row(answer, number))


def _check_nested(value: Any, column: Column, field: str, row: int) -> None:
    fault = mismatch(value, column, field)
    if fault is not None:
        raise OutputError(f"the signature says {fault}.", row=row)


def _check_list(answer: Any, outputs: tuple[Column, ...], dtype: str) -> None:
    if len(outputs) != 1 or not isinstance(answer, list):
        raise OutputError(f"the signature says {len(outputs)} output columns, but the task answers a list of values.")
    if outputs[0].type in NESTED:
        for row, value in enumerate(answer):
            if (field := infinite(value, "the answer")) is not None:
                raise not_finite(dtype, row, field)
            _check_nested(value, outputs[0], "the answer", row)
    elif outputs[0].type != "string" or not all(isinstance(value, str) for value in answer):
        raise OutputError(f"the signature says the output is {outputs[0].type}, but the task answers texts.")
