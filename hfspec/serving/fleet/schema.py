"""The JSON Schema of fleet files and of files of API keys, generated from the models; draft 2020-12."""

from __future__ import annotations

import json
from functools import cache
from typing import Annotated, Any

from pydantic import Strict, create_model

from hfspec.ir.patterns import NAME_PATTERN
from hfspec.language.layered import DEFAULTS, Entry, layered_model
from hfspec.language.schema import DIALECT, definitions_of
from hfspec.serving.fleet.sizes import PATTERN, size_text
from hfspec.serving.fleet.values import ApiKey, Fleet, FleetModel, ModelEntry

SCHEMA_ID = "urn:hfspec:schema:fleet:1"
_HEAD = {
    "$schema": DIALECT,
    "$id": SCHEMA_ID,
    "title": "hfspec fleet",
    "description": "The models that one server has, and the server: what `hfspec serve` reads.",
    "type": "object",
}


@cache
def fleet_schema() -> dict[str, Any]:
    """The schema of a fleet file: a whole one, or one laid over others with ``defaults:``. Not to be changed."""
    whole, layered = {"$ref": "#/$defs/Fleet"}, {"$ref": "#/$defs/LayeredFleet"}
    condition = {"if": {"required": ["defaults"]}, "then": layered, "else": whole}
    return {**_HEAD, **condition, "$defs": {**_definitions(""), **_definitions("Layered")}}


@cache
def composed_schema() -> dict[str, Any]:
    """The schema of a composed fleet, which has no ``defaults`` left. Not to be changed."""
    return {**_HEAD, "$ref": "#/$defs/Fleet", "$defs": _definitions("")}


@cache
def keys_schema() -> dict[str, Any]:
    """The schema of a file of API keys. Not to be changed."""
    keys = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/ApiKey"}, "description": "The keys."}
    top = {"type": "object", "properties": {"keys": keys}, "required": ["keys"], "additionalProperties": False}
    return {"$ref": "#/$defs/KeyFile", "$defs": {"KeyFile": top, **definitions_of([ApiKey])}}


def schema_text() -> str:
    """The content of schemas/fleet.schema.json."""
    return json.dumps(fleet_schema(), indent=2, ensure_ascii=False) + "\n"


def _definitions(prefix: str) -> dict[str, Any]:
    fleet, entry = (_layered(), layered_model(ModelEntry)) if prefix else (Fleet, ModelEntry)
    definitions = {name: _with_sizes(item) for name, item in definitions_of([fleet, entry]).items()}
    definitions.pop(f"{prefix}{FleetModel.__name__}")
    top = definitions[f"{prefix}Fleet"]["properties"]
    top["models"] = {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": NAME_PATTERN, "examples": ["minilm", "gpt2-v1.5"]},
        "additionalProperties": {"$ref": f"#/$defs/{entry.__name__}"},
        "description": top["models"]["description"],
    }
    return definitions


def _layered() -> type[Any]:
    defaults = Annotated[tuple[Entry, ...], Strict(strict=False)]
    return create_model(
        "LayeredFleet",
        __base__=layered_model(Fleet),
        __doc__="A fleet laid over others; what it leaves out, they say.",
        defaults=(defaults, DEFAULTS),
    )


def _with_sizes(definition: dict[str, Any]) -> dict[str, Any]:
    """The definition with default sizes as people write them."""
    for item in definition.get("properties", {}).values():
        if item.get("pattern") == PATTERN and isinstance(item.get("default"), int):
            item["default"] = size_text(item["default"])
    return definition
