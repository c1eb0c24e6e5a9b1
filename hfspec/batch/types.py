"""The Arrow type of one row's answer, for each task and form of output."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from types import MappingProxyType
from typing import Any, TypeAlias

import pyarrow as pa

from hfspec.ir.signature import Column, Tensor
from hfspec.settings.precedence import Settings
from hfspec.tasks import labels
from hfspec.tasks.task import Task

TEXT, NUMBER, COUNT, YES = pa.string(), pa.float64(), pa.int64(), pa.bool_()
ERROR = pa.struct([("kind", TEXT), ("message", TEXT)])
_PLAIN = MappingProxyType(
    {
        "string": TEXT,
        "boolean": YES,
        "integer": pa.int32(),
        "long": COUNT,
        "float": pa.float32(),
        "double": NUMBER,
        "binary": pa.binary(),
    }
)


def type_of(column: Column) -> Any:
    """The Arrow type of a column of the signature; JSON text for a column that may hold anything."""
    if column.type in _PLAIN:
        return _PLAIN[column.type]
    if column.type == "array" and column.item is not None and column.fields:
        return pa.list_(type_of(column.item))
    if column.type == "object" and column.fields:
        return pa.struct([pa.field(str(one.name), type_of(one)) for one in column.fields])
    return TEXT


def vector(tensor: Tensor) -> Any:
    """The type of one row of an array: a list of fixed size where the width is known."""
    number, width = pa.from_numpy_dtype(tensor.dtype), tensor.shape[-1]
    return pa.list_(number, width) if width > 0 else pa.list_(number)


LABELLED = pa.struct([("label", TEXT), ("score", NUMBER)])
Fields: TypeAlias = tuple[tuple[str, Any], ...]


def fields_of(columns: Iterable[Column], outputs: tuple[Column, ...] | Tensor) -> Fields:
    """The names and Arrow types of a task's ``row`` or ``full``, whose array without fields is one row of the
    signature's.
    """
    return tuple((str(column.name), _field_type(column, outputs)) for column in columns)


def _field_type(column: Column, outputs: tuple[Column, ...] | Tensor) -> Any:
    if column.type != "array":
        return type_of(column)
    if not column.fields:
        return vector(outputs) if isinstance(outputs, Tensor) else TEXT
    if column.fields[0].name is None:
        return pa.list_(_field_type(column.fields[0], outputs))
    return pa.list_(pa.struct(fields_of(column.fields, outputs)))


def standard_fields(
    task: Task, outputs: tuple[Column, ...] | Tensor, settings: Settings, columns: Collection[str]
) -> Fields:
    """The names and types of the columns that the standard output of one row has.

    Args:
        task: The task.
        outputs: The signature's outputs under these settings.
        settings: The call's settings; with some of them a row has several answers.
        columns: The task's input columns that the rows have; a query with documents has as many scores as these.
    """
    if isinstance(outputs, Tensor) and not task.row:
        return _array_fields(task, outputs, columns)
    if outputs == labels.OUTPUTS and settings.get("top_k", 1) != 1:
        return (("labels", pa.list_(LABELLED)),)
    if task.row or isinstance(outputs, Tensor):
        return fields_of(task.row, outputs)
    several = int(settings.get("num_return_sequences") or 1) > 1
    if len(outputs) == 1 and outputs[0].name is None:
        kind = type_of(outputs[0])
        return (("answer", pa.list_(kind) if several else kind),)
    return tuple((str(column.name), type_of(column)) for column in outputs)


def full_fields(task: Task, outputs: tuple[Column, ...] | Tensor, settings: Settings) -> Fields:
    """The name and type of the one column that the full output has: a struct, JSON text where the task has no type."""
    if not task.full:
        return (("answer", TEXT),)
    kind = pa.struct(fields_of(task.full, outputs))
    several = int(settings.get("num_return_sequences") or 1) > 1
    return (("answer", pa.list_(kind) if several else kind),)


def _array_fields(task: Task, outputs: Tensor, columns: Collection[str]) -> Fields:
    if task.embeds:
        return (("embedding", vector(outputs)),)
    number = pa.from_numpy_dtype(outputs.dtype)
    one = vector(outputs) if len(outputs.shape) > 1 else number
    if {"documents", "sentences"} & set(columns):
        return (("scores", pa.list_(one)),)
    return (("score", number),) if one == number else (("scores", one),)


def without_sizes(schema: pa.Schema) -> pa.Schema:
    """The schema with plain lists for those of fixed size: Parquet and Spark have no others, and pyarrow to version 25
    writes one that is null to Parquet and cannot read it (apache/arrow#35692).
    """
    return _replaced(schema, lambda kind: pa.list_(kind.value_type) if pa.types.is_fixed_size_list(kind) else kind)


def without_dictionaries(schema: pa.Schema) -> pa.Schema:
    """The schema with plain values for dictionaries, of which an Arrow file can have only one for all its batches."""
    return _replaced(schema, lambda kind: kind.value_type if pa.types.is_dictionary(kind) else kind)


def _replaced(schema: pa.Schema, change: Callable[[Any], Any]) -> pa.Schema:
    return pa.schema([field.with_type(_inside(field.type, change)) for field in schema])


def _inside(kind: Any, change: Callable[[Any], Any]) -> Any:
    kind = change(kind)
    if pa.types.is_list(kind):
        return pa.list_(_inside(kind.value_type, change))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_inside(kind.value_type, change), kind.list_size)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_inside(field.type, change)) for field in kind])
    return kind
