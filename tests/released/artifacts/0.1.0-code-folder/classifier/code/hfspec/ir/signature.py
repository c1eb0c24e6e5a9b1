"""What a predictor takes and gives: columns or a tensor in, columns or a tensor out, and params.

The shape and the type names are MLflow's model signature's (https://mlflow.org/docs/latest/ml/model/signatures/).
Plain dataclasses: the runtime reads them without pydantic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hfspec.ir.field_types import check_fields
from hfspec.ir.frozen import Json, freeze, thaw


@dataclass(frozen=True, slots=True)
class Column:
    """A field of each row. ``type`` is one of MLflow's: string, boolean, integer, long, float, double, binary,
    object, any. ``name`` is None when there is only one column and it has no name.
    """

    type: str
    name: str | None = None
    required: bool = True

    def to_json(self) -> dict[str, Any]:
        named = {} if self.name is None else {"name": self.name}
        return {**named, "type": self.type, "required": self.required}


@dataclass(frozen=True, slots=True)
class Tensor:
    """An array of ``dtype`` (numpy's name) and ``shape``; -1 stands for any size."""

    dtype: str
    shape: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "shape": list(self.shape)}


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of predict: its type (MLflow's names), default and limits."""

    name: str
    type: str
    default: Json
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Json, ...] | None = None
    description: str | None = None

    def to_json(self) -> dict[str, Any]:
        limits = {
            "minimum": self.minimum,
            "maximum": self.maximum,
            "choices": thaw(self.choices),
            "description": self.description,
        }
        known = {key: value for key, value in limits.items() if value is not None}
        return {"name": self.name, "type": self.type, "default": thaw(self.default), **known}


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs, outputs and params of predict."""

    inputs: tuple[Column, ...] | Tensor
    outputs: tuple[Column, ...] | Tensor
    params: tuple[Param, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return {
            "inputs": _side_to_json(self.inputs),
            "outputs": _side_to_json(self.outputs),
            "params": [param.to_json() for param in self.params],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Signature:
        """The inverse of to_json; raises KeyError or TypeError on any other shape."""
        params = tuple(Param(**{key: freeze(item) for key, item in param.items()}) for param in value["params"])
        check_fields(*params)
        return cls(_side_from_json(value["inputs"]), _side_from_json(value["outputs"]), params)


def _side_to_json(side: tuple[Column, ...] | Tensor) -> Any:
    return side.to_json() if isinstance(side, Tensor) else [column.to_json() for column in side]


def _side_from_json(value: Any) -> tuple[Column, ...] | Tensor:
    if isinstance(value, Mapping):
        tensor = Tensor(dtype=value["dtype"], shape=tuple(value["shape"]))
        check_fields(tensor)
        return tensor
    columns = tuple(Column(**column) for column in value)
    check_fields(*columns)
    return columns
