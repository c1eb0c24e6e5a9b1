"""The JSON Schema of specs, generated from the models and the table of tasks; draft 2020-12.

Variants are told apart by ``library``, then by ``task``, with if/then, so that a message speaks of the key that is
wrong and not of a variant that nobody meant.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import PydanticJsonSchemaWarning, models_json_schema

from hfspec.ir import spec_keys as keys
from hfspec.ir.spec import Spec
from hfspec.language.layered import layered_model, layered_spec
from hfspec.tasks import table
from hfspec.tasks.libraries import CONVERTED, CONVERTIBLE, LIBRARIES
from hfspec.tasks.task import Task

SCHEMA_ID = "urn:hfspec:schema:spec:1"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCALAR = {"type": ["string", "number", "boolean"]}
_HEAD = {
    "$schema": DIALECT,
    "$id": SCHEMA_ID,
    "title": "hfspec spec",
    "description": "The deployment of one Hugging Face model.",
    "type": "object",
}


@cache
def spec_schema() -> dict[str, Any]:
    """The schema of a spec file: a whole one, or one laid over others with ``defaults:``. Not to be changed."""
    whole = _whole()
    condition = {"if": {"required": ["defaults"]}, "then": {"$ref": "#/$defs/LayeredSpec"}, "else": whole}
    return {**_HEAD, **condition, "$defs": _definitions(layered=True)}


@cache
def composed_schema() -> dict[str, Any]:
    """The schema of a composed spec, which has no ``defaults`` left; a third of the work. Not to be changed."""
    return {**_HEAD, **_whole(), "$defs": _definitions(layered=False)}


def composed_text() -> str:
    """The content of hfspec/language/composed.schema.json, which the shape of a spec is checked by."""
    return json.dumps(composed_schema(), indent=1, ensure_ascii=False) + "\n"


def _whole() -> dict[str, Any]:
    return {"required": ["library"], "properties": {"library": _libraries()}, "allOf": list(_variants())}


def schema_text() -> str:
    """The content of schemas/spec.schema.json."""
    return json.dumps(spec_schema(), indent=2, ensure_ascii=False) + "\n"


def _libraries() -> dict[str, Any]:
    return {"enum": list(LIBRARIES), "description": keys.LIBRARY}


def _variants() -> Iterator[dict[str, Any]]:
    for library in LIBRARIES:
        yield _when({"library": {"const": library}}, {"$ref": f"#/$defs/{_variant_name(library)}"})
    # An unknown or missing library is one mistake; the other keys are checked all the same.
    condition = {"required": ["library"], "properties": {"library": {"enum": list(LIBRARIES)}}}
    yield {"if": {"not": condition}, "then": {"$ref": "#/$defs/Spec"}}


def _when(properties: dict[str, Any], then: dict[str, Any]) -> dict[str, Any]:
    return {"if": {"required": list(properties), "properties": properties}, "then": then}


def _definitions(*, layered: bool) -> dict[str, Any]:
    models = {library: row.part("spec") for library, row in LIBRARIES.items()}
    roots: list[Any] = [*{Spec, *models.values()}, keys.Param]
    if layered:
        roots += [layered_spec(), layered_model(keys.Param)]
    definitions = definitions_of(roots)
    for prefix in ("", "Layered") if layered else ("",):
        signature = definitions[f"{prefix}Signature"]["properties"]
        signature["params"]["additionalProperties"] = _param_schema(prefix)
    for name in {"Spec", *(model.__name__ for model in models.values()), *["LayeredSpec"] * layered}:
        trust = definitions[name]["properties"]["trust_remote_code"]
        trust.update(_false_or_list(trust))
    variants = {
        _variant_name(library): _variant(library, definitions[models[library].__name__], layered=layered)
        for library in LIBRARIES
    }
    own = {model.__name__ for model in models.values() if model is not Spec}
    definitions = {name: definition for name, definition in definitions.items() if name not in own}
    definitions["Spec"]["properties"]["library"] = {"description": keys.LIBRARY}
    definitions["Spec"]["required"].remove("library")  # which the whole document requires
    definitions = dict(sorted((definitions | variants).items()))
    for library in LIBRARIES:
        definitions[_variant_name(library)]["allOf"] = list(_task_rules(library, definitions))
    return definitions


def _variant(library: str, spec: dict[str, Any], *, layered: bool) -> dict[str, Any]:
    """The definition of a spec of this library, but for what its tasks require.

    The schema for editors lists the names of its tasks; a check of a composed spec has a rule that says which one is
    meant, and hears nothing of it from the schema.
    """
    own: dict[str, Any] = {"library": {"const": library, "description": keys.LIBRARY, "type": "string"}}
    if layered:
        task, names = spec["properties"]["task"], table.names(library)
        examples = [name for name in task["examples"] if name in names]
        own["task"] = task | {"examples": examples} | _named(library, None, list(names))
    return spec | {
        "title": _variant_name(library),
        "description": f"A model of the library {library}.",
        "properties": spec["properties"] | own,
        "required": list(spec["required"]),
    }


def _variant_name(library: str) -> str:
    """The name of a library's specs in the schema's definitions."""
    return "".join(map(str.capitalize, library.split("-"))) + "Spec"


def definitions_of(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """Generate the definitions of models.

    Args:
        models: The models.

    Returns:
        The definition of each model and of those inside it, by name, sorted.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PydanticJsonSchemaWarning)  # a FrozenDict default is left out
        _, generated = models_json_schema([(model, "validation") for model in models], by_alias=True)
    return {name: _tidied(definition) for name, definition in sorted(generated["$defs"].items())}


def _param_schema(prefix: str) -> dict[str, Any]:
    return {"if": {"type": "object"}, "then": {"$ref": f"#/$defs/{prefix}Param"}, "else": SCALAR}


def _false_or_list(schema: dict[str, Any]) -> dict[str, Any]:
    items = {"items": schema.pop("items")}
    schema.pop("type")
    return {"type": ["boolean", "array"], "if": {"type": "array"}, "then": items, "else": {"const": False}}


def _tidied(value: Any) -> Any:
    """Without the titles that only repeat the key, and null beside a type instead of a choice of schemas."""
    if isinstance(value, list):
        return [_tidied(item) for item in value]
    if not isinstance(value, dict):
        return value
    result = {
        key: {name: _untitled(_tidied(item)) for name, item in content.items()}
        if key == "properties"
        else _tidied(content)
        for key, content in value.items()
    }
    choices = result.get("anyOf")
    return _nullable(result, choices) if isinstance(choices, list) and {"type": "null"} in choices else result


def _untitled(schema: Any) -> Any:
    dropped = {"title", "default"} if "$ref" in schema else {"title"}
    return {key: item for key, item in schema.items() if key not in dropped}


def _nullable(schema: dict[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any]:
    rest = {key: item for key, item in schema.items() if key not in ("anyOf", "default")}
    (other,) = [choice for choice in choices if choice != {"type": "null"}]
    if "$ref" in other:
        # The object's own keys are checked behind `then`, so that a message speaks of them.
        return rest | {"type": ["object", "null"], "if": {"type": "object"}, "then": other}
    types = other["type"] if isinstance(other["type"], list) else [other["type"]]
    if "enum" in other:
        return rest | other | {"type": [*types, "null"], "enum": [*other["enum"], None]}
    return rest | other | {"type": [*types, "null"]}


def _task_rules(library: str, definitions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for task in tasks(library):
        name = settings_name(task)
        definitions[name] = {
            "type": "object",
            "title": f"Settings of {task.name}",
            "description": f"What `model_config` may hold. {task.summary}",
            "properties": {setting.name: setting.schema() for setting in task.settings},
            "additionalProperties": False,
        }
        definitions[f"{name}.params"] = {
            "type": "object",
            "properties": {setting.name: _param_of(name, setting.name) for setting in task.settings},
            "additionalProperties": False,
        }
        names = [each for each in table.names(library) if table.find(library, each) is task]
        yield _when({"task": _named(library, task.name, names)}, _with_settings(task))


def _with_settings(task: Task) -> dict[str, Any]:
    """The schema of the task's settings, or of those of the library that the model is converted to."""
    own: dict[str, Any] = {"properties": _settings_of(task)}
    converted = table.find(CONVERTED, task.name) if task.library == CONVERTIBLE else None
    if converted is None:
        return own
    return {**_when({"convert": {"type": "object"}}, {"properties": _settings_of(converted)}), "else": own}


def _settings_of(task: Task) -> dict[str, Any]:
    name = settings_name(task)
    params = {"type": "object", "properties": {"params": {"$ref": f"#/$defs/{name}.params"}}}
    return {"model_config": {"$ref": f"#/$defs/{name}"}, "signature": params}


def _named(library: str, task: str | None, names: list[str]) -> dict[str, Any]:
    """The names of a task of the library, or of all of them, and the patterns of such names."""
    by_task = LIBRARIES[library].task_patterns
    patterns = [pattern.pattern for name, pattern in by_task.items() if task in (None, name)]
    if not patterns:
        return {"enum": names}
    return {"anyOf": [{"enum": names}, *({"type": "string", "pattern": f"^{text}$(?!\\n)"} for text in patterns)]}


def _param_of(definition: str, setting: str) -> dict[str, Any]:
    schema = {"$ref": f"#/$defs/{definition}/properties/{setting}"}
    return {"if": {"type": "object"}, "then": {"properties": {"default": schema}}, "else": schema}


def settings_name(task: Task) -> str:
    """The name of the task's settings in the schema's definitions."""
    return f"{task.library}.{task.name.replace('/', '.')}"


def tasks(library: str) -> tuple[Task, ...]:
    """List the tasks of a library.

    Args:
        library: The library's name.

    Returns:
        Every task of it that works, in the table's order.
    """
    rows = (table.find(owner, name) for owner, name in table.TASKS if owner == library)
    return tuple(task for task in rows if task is not None)
