"""Whether an answer is what the signature says."""

from __future__ import annotations

from typing import Any

from hfspec.errors import OutputError
from hfspec.ir.signature import Column, Tensor
from hfspec.runtime.answers import Table

SAME = {"float": "double", "integer": "long"}


def check_output(answer: Any, outputs: tuple[Column, ...] | Tensor) -> None:
    """Raises OutputError when the standard answer is not of the signature's ``outputs``."""
    if isinstance(outputs, Tensor):
        for array in answer if isinstance(answer, list) else [answer]:
            _check_tensor(array, outputs)
    elif all(column.type == "any" for column in outputs):
        return
    elif isinstance(answer, Table):
        _check_table(answer, outputs)
    else:
        _check_list(answer, outputs)


def _check_tensor(answer: Any, tensor: Tensor) -> None:
    shape = tuple(getattr(answer, "shape", ()))
    wanted = tensor.shape
    fits = len(shape) == len(wanted) and all(want in (-1, size) for want, size in zip(wanted, shape, strict=True))
    dtype = str(getattr(answer, "dtype", type(answer).__name__))
    if not fits or dtype != tensor.dtype:
        raise OutputError(
            f"the signature says {tensor.dtype} {list(wanted)}, but the model answered {dtype} {list(shape)};"
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


def _check_list(answer: Any, outputs: tuple[Column, ...]) -> None:
    if len(outputs) != 1 or not isinstance(answer, list):
        raise OutputError(f"the signature says {len(outputs)} output columns, but the task answers a list of values.")
    if outputs[0].type != "string" or not all(isinstance(value, str) for value in answer):
        raise OutputError(f"the signature says the output is {outputs[0].type}, but the task answers texts.")
