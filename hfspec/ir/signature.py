"""The signature of a predictor: columns or a tensor in, columns or a tensor out, and params.

The shape and the type names are MLflow's model signature's (https://mlflow.org/docs/latest/ml/model/signatures/).
Plain dataclasses: the runtime reads them without pydantic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hfspec.ir.field_types import check_fields, check_keys, records_of
from hfspec.ir.frozen import Json, freeze, thaw

NESTED: Final = ("array", "object")
TYPES: Final = ("string", "boolean", "integer", "long", "float", "double", "binary", "any", *NESTED)


@dataclass(frozen=True, slots=True)
class Column:
    """A field of each row. ``type`` is one of MLflow's: string, boolean, integer, long, float, double, binary,
    object, array, any. ``name`` is None when there is only one column and it has no name. ``fields`` are those of an
    object, or of each object of an array; a single field without a name is the type of an array's items, as of the
    lines of a mask. An object or array without fields holds anything.

    Raises TypeError for fields that no value can have.
    """

    type: str
    name: str | None = None
    required: bool = True
    fields: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        if not self.fields:
            return
        if self.type not in NESTED:
            raise TypeError(f"a column of the type {self.type!r} has no fields")
        names = [column.name for column in self.fields]
        if self.type == "array" and names == [None]:
            if not self.fields[0].required:
                raise TypeError("the items of an array cannot be optional")
        elif not all(names) or len(set(names)) < len(names):
            raise TypeError(f"the fields of an {self.type} must have different names, not {names}")

    @property
    def item(self) -> Column | None:
        """The column of each item of an array; None for a column of another type."""
        if self.type != "array":
            return None
        if not self.fields:
            return Column("any")
        return self.fields[0] if self.fields[0].name is None else Column("object", fields=self.fields)

    def described(self) -> str:
        """The type in one line, with the fields: ``array of object (label: string, box: object (xmin: long))``."""
        if not self.fields:
            return self.type
        if self.item is not None:
            return f"array of {self.item.described()}"
        members = (f"{one.name}: {one.described()}{'' if one.required else ' (optional)'}" for one in self.fields)
        return f"{self.type} ({', '.join(members)})"

    def to_json(self) -> dict[str, Any]:
        name = {} if self.name is None else {"name": self.name}
        nested = {"fields": [column.to_json() for column in self.fields]} if self.fields else {}
        return {**name, "type": self.type, "required": self.required, **nested}

    @classmethod
    def from_json(cls, value: Any) -> Column:
        """The inverse of to_json; raises TypeError on any other shape."""
        if not isinstance(value, Mapping):
            raise TypeError(f"a column is {type(value).__name__}")
        nested = value.get("fields", [])
        if not isinstance(nested, list) or ("fields" in value and not nested):
            raise TypeError("Column.fields is no list of columns")
        values = {key: freeze(item) for key, item in value.items() if key != "fields"}
        column = cls(**values, fields=tuple(cls.from_json(one) for one in nested))
        check_fields(column)
        if column.type not in TYPES:
            raise TypeError(f"Column.type is {column.type!r}, which is none of MLflow's types")
        return column


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
        bounds = {key: value for key, value in limits.items() if value is not None}
        return {"name": self.name, "type": self.type, "default": thaw(self.default), **bounds}


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
        check_keys(cls, value)
        params = records_of(Param, value["params"])
        check_fields(*params)
        return cls(_side_from_json(value["inputs"]), _side_from_json(value["outputs"]), params)


def _side_to_json(side: tuple[Column, ...] | Tensor) -> Any:
    return side.to_json() if isinstance(side, Tensor) else [column.to_json() for column in side]


def _side_from_json(value: Any) -> tuple[Column, ...] | Tensor:
    if isinstance(value, Mapping):
        check_keys(Tensor, value)
        tensor = Tensor(dtype=value["dtype"], shape=freeze(value["shape"]))
        check_fields(tensor)
        return tensor
    if not isinstance(value, list):
        raise TypeError(f"a list of Column is {type(value).__name__}")
    return tuple(Column.from_json(column) for column in value)
