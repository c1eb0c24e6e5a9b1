"""The JSON Schema of ``artifact.json``, generated from the manifest's dataclasses; draft 2020-12."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from types import MappingProxyType
from typing import Any

from hfspec.ir.artifact import Deployment, FileRecord, Manifest, Pointer, SourceRecord, WrittenFile
from hfspec.ir.manifest_versions import READERS
from hfspec.ir.signature import NESTED, Column, Param, Signature, Tensor

SCHEMA_ID = "urn:hfspec:schema:artifact:1"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
RECORDS: tuple[type[Any], ...] = (
    Column,
    Deployment,
    FileRecord,
    Param,
    Pointer,
    Signature,
    SourceRecord,
    Tensor,
    WrittenFile,
)
SHA256 = MappingProxyType({"type": "string", "pattern": "^[0-9a-f]{64}$"})


def _list_of(record: type[Any]) -> dict[str, Any]:
    return {"type": "array", "items": _ref(record)}


def _ref(record: type[Any]) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{record.__name__}"}


def _nullable(kind: str) -> dict[str, Any]:
    return {"type": [kind, "null"]}


# By the annotation as it is written, as hfspec.ir.field_types checks them.
TYPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "Json": {},
        "str": {"type": "string"},
        "str | None": _nullable("string"),
        "bool": {"type": "boolean"},
        "int": {"type": "integer"},
        "float | None": _nullable("number"),
        "FrozenDict": {"type": "object"},
        "tuple[int, ...]": {"type": "array", "items": {"type": "integer"}},
        "tuple[str, ...]": {"type": "array", "items": {"type": "string"}},
        "tuple[Json, ...] | None": _nullable("array"),
        "tuple[Column, ...] | Tensor": {
            "type": ["array", "object"],
            "if": {"type": "array"},
            "then": {"items": _ref(Column)},
            "else": _ref(Tensor),
        },
        **{record.__name__: _ref(record) for record in RECORDS},
        **{f"tuple[{record.__name__}, ...]": _list_of(record) for record in RECORDS},
    }
)
# The limits that a name sets beyond its type.
NAMED: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "sha256": SHA256,
        "spec_digest": SHA256,
        "commit": {"type": ["string", "null"], "pattern": "^[0-9a-f]{40}$"},
        "size": {"type": "integer", "minimum": 0},
        "fields": {**_list_of(Column), "minItems": 1},
    }
)
# The limits that a record's fields set to each other.
RULES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"Column": {"dependentSchemas": {"fields": {"properties": {"type": {"enum": list(NESTED)}}}}}}
)


def manifest_schema() -> dict[str, Any]:
    """The schema of an artifact's manifest."""
    manifest = _object(Manifest)
    manifest["properties"]["format_version"] = {"enum": sorted(READERS)}
    manifest["properties"]["digest"] = {**SHA256, "description": "sha256 over everything else in this file."}
    manifest["required"] = sorted([*manifest["required"], "digest", "format_version"])
    definitions = {record.__name__: _object(record) for record in RECORDS}
    return {"$schema": DIALECT, "$id": SCHEMA_ID, "title": "hfspec artifact", **manifest, "$defs": definitions}


def _object(record: type[Any]) -> dict[str, Any]:
    members = [field for field in fields(record) if field.init]
    return {
        "type": "object",
        "description": " ".join((inspect.getdoc(record) or "").split()),
        "properties": {field.name: dict(NAMED.get(field.name) or TYPES[str(field.type)]) for field in members},
        "required": [field.name for field in members if _is_required(field)],
        "additionalProperties": False,
        **RULES.get(record.__name__, {}),
    }


def _is_required(field: Field[Any]) -> bool:
    """A field with a default may be left out where it says nothing."""
    return field.default is MISSING and field.default_factory is MISSING
