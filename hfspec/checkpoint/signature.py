"""The signature of predict: the task's own, with what the spec says instead."""

from __future__ import annotations

from dataclasses import replace

from hfspec.ir import spec_keys
from hfspec.ir.frozen import Json
from hfspec.ir.signature import Column, Param, Signature, Tensor
from hfspec.ir.spec import Spec
from hfspec.tasks.labels import OUTPUTS as LABELS
from hfspec.tasks.prompt_template import input_columns
from hfspec.tasks.task import Task


def signature(spec: Spec, task: Task, array: Tensor | None) -> Signature:
    """The deployment's signature. ``array``: the task's answer, where it is an array whose width is known."""
    in_spec = spec.signature
    outputs = (Column("any"),) if spec.outputs == "full" else array or _outputs(spec, task)
    if in_spec.outputs is not None:
        outputs = tuple(_with_fields(column, task) for column in _columns(in_spec.outputs))
    if in_spec.output_tensor is not None:
        outputs = Tensor(in_spec.output_tensor.dtype, in_spec.output_tensor.shape)
    inputs = input_columns(task, spec.prompt_template) if in_spec.inputs is None else _columns(in_spec.inputs)
    return Signature(inputs, outputs, tuple(_param(name, param) for name, param in in_spec.params.items()))


def _outputs(spec: Spec, task: Task) -> tuple[Column, ...] | Tensor:
    """The task's own; where a row may have several labels, with the row that each line belongs to."""
    if task.outputs != LABELS:
        return task.outputs
    if "top_k" in spec.signature.params:
        return (Column("long", "row", required=False), *LABELS)
    return LABELS if spec.inference.get("top_k", 1) == 1 else (Column("long", "row"), *LABELS)


def _columns(columns: tuple[spec_keys.Column, ...]) -> tuple[Column, ...]:
    return tuple(Column(column.type, column.name, column.required) for column in columns)


def _with_fields(column: Column, task: Task) -> Column:
    """A spec says an object or array by its type; its fields are those of the task's column."""
    own = () if isinstance(task.outputs, Tensor) else task.outputs
    fields = next((one.fields for one in own if (one.name, one.type) == (column.name, column.type)), ())
    return replace(column, fields=fields)


def _param(name: str, param: spec_keys.Param) -> Param:
    return Param(
        name=name,
        type=param.type or _type_of(param.default),
        default=param.default,
        minimum=param.minimum,
        maximum=param.maximum,
        choices=param.choices,
        description=param.description,
    )


def _type_of(value: Json) -> str:
    """MLflow's name for a default's type."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "long"
    return "double" if isinstance(value, float) else "string"
