"""A signature in one line a side."""

from __future__ import annotations

from hfspec.ir.signature import Column, Param, Signature, Tensor
from hfspec.report.table import aligned


def describe(signature: Signature) -> str:
    """Show a signature.

    Args:
        signature: The signature.

    Returns:
        Inputs, outputs and params, as indented lines.
    """
    rows = [("inputs", _side(signature.inputs)), ("outputs", _side(signature.outputs))]
    rows += [("param", _param(param)) for param in signature.params]
    return aligned(rows)


def _side(side: tuple[Column, ...] | Tensor) -> str:
    if isinstance(side, Tensor):
        return f"array of {side.dtype}, shape ({', '.join('any' if size < 0 else str(size) for size in side.shape)})"
    return ", ".join(_column(column) for column in side)


def _column(column: Column) -> str:
    name = f"{column.name}: " if column.name else ""
    return f"{name}{column.described()}{'' if column.required else ' (optional)'}"


def _param(param: Param) -> str:
    limits = [
        "" if param.minimum is None else f"at least {param.minimum:g}",
        "" if param.maximum is None else f"at most {param.maximum:g}",
        "" if param.choices is None else "one of " + ", ".join(map(str, param.choices)),
    ]
    return ", ".join([f"{param.name}: {param.type} = {param.default}", *filter(None, limits)])
