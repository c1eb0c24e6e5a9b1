"""JSON Schemas of one model's input and output, from its signature."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hfspec.ir.artifact import FORMS, Manifest
from hfspec.ir.frozen import thaw
from hfspec.ir.golden import INPUT_EXAMPLE
from hfspec.ir.signature import NESTED, Column, Param, Tensor
from hfspec.serving.protocols.v2 import tensors
from hfspec.tasks.table import find
from hfspec.tasks.task import Task

Schema = dict[str, Any]

# A column's type, by MLflow's name -> its JSON Schema.
TYPES: Mapping[str, Schema] = MappingProxyType(
    {
        "string": {"type": "string"},
        "boolean": {"type": "boolean"},
        "integer": {"type": "integer", "format": "int32"},
        "long": {"type": "integer", "format": "int64"},
        "float": {"type": "number", "format": "float"},
        "double": {"type": "number", "format": "double"},
        "binary": {"type": "string", "contentEncoding": "base64", "description": "The file, as base64 text."},
        "object": {"type": "object"},
        "array": {"type": "array"},
        "any": {},
    }
)
# Columns of any type whose values are known by the task.
KNOWN: Mapping[str, Schema] = MappingProxyType(
    {
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["role", "content"],
                "properties": {"role": {"type": "string"}, "content": {"type": ["string", "array", "null"]}},
            },
        },
        "documents": {"type": "array", "items": {"type": "string"}},
    }
)
EXAMPLES: Mapping[str, Any] = MappingProxyType(
    {
        "string": "A text.",
        "boolean": True,
        "integer": 1,
        "long": 1,
        "float": 1.0,
        "double": 1.0,
        "binary": "",
        "object": {},
        "array": [],
        "any": "A text.",
        "messages": [{"role": "user", "content": "Hello!"}],
        "documents": ["One text.", "Another one."],
    }
)


def column_schema(column: Column) -> Schema:
    """One value of a column, with all its fields."""
    if column.type == "any":
        return dict(KNOWN.get(column.name or "", TYPES["any"]))
    if not column.fields:
        return dict(TYPES[column.type])
    if column.item is not None:
        return {"type": "array", "items": column_schema(column.item)}
    return {
        "type": "object",
        "properties": {str(one.name): _field(one) for one in column.fields},
        "required": [one.name for one in column.fields if one.required],
        "additionalProperties": False,
    }


def _field(column: Column) -> Schema:
    """A field of an object, which may be null where it may be left out."""
    schema = column_schema(replace(column, name=None))
    return schema if column.required else {"anyOf": [schema, {"type": "null"}]}


def row(manifest: Manifest) -> Schema:
    """A row, as an object of its columns."""
    side = manifest.signature.inputs
    if isinstance(side, Tensor):
        return {"description": f"A part of an array of {side.dtype}."}
    columns = [column for column in side if column.name]
    if not columns:
        return column_schema(side[0])
    schema: Schema = {
        "type": "object",
        "properties": {str(column.name): column_schema(column) for column in columns},
    }
    if required := [column.name for column in columns if column.required]:
        schema["required"] = required
    return schema


def inputs(manifest: Manifest, name: str) -> Schema:
    """``inputs`` of a request: a row or a list of rows, each an object or, where one value suffices, that value.
    ``name``: the schema of a row, by reference.
    """
    one: list[Schema] = [{"$ref": name}]
    side = manifest.signature.inputs
    if not isinstance(side, Tensor) and sum(column.required for column in side) == 1 and side[0].type != "any":
        one.append(column_schema(side[0]))
    return {"anyOf": [*one, {"type": "array", "items": {"anyOf": one}}], "examples": [example(manifest)]}


def params(manifest: Manifest) -> Schema:
    """``params`` of a request: the signature's params, and no others."""
    task = task_of(manifest)
    properties = {param.name: _param(param, task) for param in manifest.signature.params}
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


def _param(param: Param, task: Task | None) -> Schema:
    setting = task.setting(param.name) if task else None
    base = setting.schema() if setting else {}
    own = {"minimum": param.minimum, "maximum": param.maximum, "description": param.description}
    keys = (*own, "exclusiveMinimum")
    limits = {key: base.get(key) if own.get(key) is None else own[key] for key in keys}
    schema = {**TYPES.get(param.type, {}), "default": thaw(param.default)}
    schema |= {key: value for key, value in limits.items() if value is not None}
    if choices := thaw(param.choices) or base.get("enum"):
        schema["enum"] = list(choices)
    return schema


def predictions(manifest: Manifest) -> Schema:
    """The answer to all rows, in the standard form or the full one."""
    full = {"type": "array", "items": {"type": "object"}, "description": "With outputs: full."}
    side = manifest.signature.outputs
    if isinstance(side, Tensor):
        nested: Schema = {"type": ["number", "null"]}
        for size in reversed(side.shape):
            nested = {"type": "array", "items": nested}
            if size > 0:
                nested |= {"minItems": size, "maxItems": size}
        return {"anyOf": [nested, {"type": "array", "items": nested}, full]}
    if len(side) == 1 and not side[0].name:
        one = column_schema(side[0])
        return {"anyOf": [one, {"type": "array", "items": one}, full]} if one else {}
    cells = {str(column.name): _cell(column) for column in side}
    line = {"type": "object", "properties": cells, "required": list(cells)}
    return {"anyOf": [{"type": "array", "items": line}, full]}


def _cell(column: Column) -> Schema:
    if column.type in NESTED:
        return _field(column)
    schema = column_schema(column)
    return {**schema, "type": ["number", "null"]} if schema.get("type") == "number" else schema  # null is nan


def example(manifest: Manifest, folder: Path | None = None) -> Any:
    """Input that the model takes: the artifact's own example, or else one made from the columns."""
    stored = None if folder is None else folder / INPUT_EXAMPLE
    if stored is not None and any(record.path == INPUT_EXAMPLE for record in manifest.files):
        try:
            return json.loads(stored.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # replaced while it is served
            pass
    side = manifest.signature.inputs
    if isinstance(side, Tensor):
        return []
    needed = [column for column in side if column.required] or list(side[:1])
    values = {column.name: EXAMPLES.get(column.name or "", EXAMPLES[column.type]) for column in needed}
    if manifest.deployment.task == "text-ranking":
        values["documents"] = EXAMPLES["documents"]
    return values if len(values) > 1 or needed[0].type == "any" else next(iter(values.values()))


def outputs() -> Schema:
    """``outputs`` of a request."""
    return {"enum": [*FORMS, None], "description": "The task's standard form, or all that the model knows."}


def infer_request(manifest: Manifest) -> Schema:
    """A request of the Open Inference Protocol."""
    described = tensors.inputs(manifest.signature)
    alternatives = [
        {
            "type": "object",
            "required": ["name", "shape", "datatype", "data"],
            "properties": {
                "name": {"const": tensor.name},
                "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
                "datatype": {"enum": [tensor.datatype]},
                "data": {"type": "array"},
            },
        }
        for tensor in described
    ]
    first = described[0]
    value = "A text." if first.datatype == tensors.BYTES else 1
    sample = {"name": first.name, "shape": [1], "datatype": first.datatype, "data": [value]}
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "inputs": {"type": "array", "minItems": 1, "items": {"anyOf": alternatives}},
            "parameters": {"type": "object"},
            "outputs": {"type": "array", "items": {"type": "object", "required": ["name"]}},
        },
        "examples": [{"inputs": [sample]}],
    }


def infer_answer(manifest: Manifest) -> Schema:
    """An answer of the Open Inference Protocol."""
    names = [tensor.name for tensor in tensors.outputs(manifest.signature)]
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"enum": sorted({*names, tensors.OUTPUT})},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "datatype": {"enum": [tensors.BYTES, *tensors.NUMBERS]},
            "data": {"type": "array"},
            "parameters": {"type": "object"},
        },
    }
    return {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "id": {"type": "string"},
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "outputs": {"type": "array", "items": tensor},
        },
    }


def task_of(manifest: Manifest) -> Task | None:
    """The task's row of the table; None for one that this hfspec does not have."""
    return find(manifest.deployment.library, manifest.deployment.task)
