"""The form that tries a model, made from its signature; and the request in a sent form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.datastructures import FormData, UploadFile

from hfspec.ir.artifact import FORMS, Manifest
from hfspec.ir.frozen import thaw
from hfspec.ir.signature import NESTED, Column, Param, Tensor
from hfspec.serving.page.html import Markup, element
from hfspec.serving.protocols import schemas
from hfspec.serving.protocols.fields import CHATS, WORDS, typed

WHOLE, REAL = frozenset({"integer", "long"}), frozenset({"float", "double"})
HINTS = {**WORDS, "string": ""}
FILLED = frozenset({"model", "user", "stream", "stream_options"})  # columns that the page fills by itself


def fields(manifest: Manifest, name: str, sample: Any) -> Iterator[Markup]:
    """A field for each column; optional ones and params are behind a fold. ``sample``: the values in the fields."""
    required, optional = columns(manifest)
    sample = _first(sample, required)
    values = sample if isinstance(sample, Mapping) else {required[0].name: sample} if len(required) == 1 else {}
    for column in required:
        yield from _column(column, name, values.get(column.name), manifest.deployment.task)
    more = [element("div", *_column(column, name, values.get(column.name), "")) for column in optional]
    more += [element("div", *_param(param, name, manifest)) for param in manifest.signature.params]
    place = f"{name}-outputs"
    form = _select("outputs", place, FORMS, first="")
    more.append(element("div", _label("Form of the answer", place, ""), form))
    yield element("details", element("summary", "More settings"), element("div", *more, class_="more"))


def _first(sample: Any, required: list[Column]) -> Any:
    """The first row of input that may have several."""
    if isinstance(sample, list) and required[0].type != "any":
        return sample[0] if sample else None
    if isinstance(sample, Mapping):
        texts = {column.name for column in required if column.type not in {"any", *NESTED}}
        return {
            key: value[0] if key in texts and isinstance(value, list) and value else value
            for key, value in sample.items()
        }
    return sample


def columns(manifest: Manifest) -> tuple[list[Column], list[Column]]:
    """The columns that a row must have, and those that it may leave out."""
    side = manifest.signature.inputs
    all_columns = [Column("any", "input")] if isinstance(side, Tensor) else list(side)
    all_columns = [Column(column.type, column.name or "input", column.required) for column in all_columns]
    return (
        [column for column in all_columns if column.required or column.name == "documents"],
        [column for column in all_columns if not column.required and column.name not in {*FILLED, "documents"}],
    )


def _column(column: Column, model: str, value: Any, task: str) -> Iterator[Markup]:
    place, name = f"{model}-{column.name}", f"row.{column.name}"
    hint = "optional" if not column.required else HINTS.get(column.type, "a number")
    is_talk = column.name == "messages" and task in CHATS
    if column.name == "documents":
        hint = "one a line"
    yield _label("Message" if is_talk else str(column.name), place, "" if is_talk else hint)
    common = {"id": place, "name": name, "data_type": column.type, "required": column.required or None}
    if column.type == "binary":
        yield element("input", type="file", **common)
    elif column.type == "boolean":
        yield _select(name, place, ("true", "false"), first="", type_="boolean")
    elif column.type in WHOLE | REAL:
        step = "any" if column.type in REAL else 1
        yield element("input", type="number", step=step, value=value, **common)
    else:
        rows = 3 if column.required or column.name == "documents" else 1
        yield element("textarea", _shown(value, is_talk=is_talk), rows=rows, **common)


def _param(param: Param, model: str, manifest: Manifest) -> Iterator[Markup]:
    place, name = f"{model}-param-{param.name}", f"param.{param.name}"
    schema = schemas.params(manifest)["properties"][param.name]
    yield _label(param.name, place, schema.get("description") or "")
    if "enum" in schema or param.type == "boolean":
        choices = [json.dumps(choice) if not isinstance(choice, str) else choice for choice in schema.get("enum", [])]
        yield _select(name, place, choices or ("true", "false"), first=f"default: {param.default}", type_=param.type)
        return
    is_number = param.type in WHOLE | REAL
    limits = {"min": schema.get("minimum"), "max": schema.get("maximum")} if is_number else {}
    yield element(
        "input",
        type="number" if is_number else "text",
        step=("any" if param.type in REAL else 1) if is_number else None,
        id=place,
        name=name,
        data_type=param.type,
        placeholder=f"default: {json.dumps(thaw(param.default), ensure_ascii=False)}",
        **limits,
    )


def _label(text: str, place: str, hint: str) -> Markup:
    return element("label", text, *([" ", element("small", hint)] if hint else []), for_=place)


def _select(name: str, place: str, choices: Any, *, first: str, type_: str = "string") -> Markup:
    options = [element("option", first or "default", value=""), *(element("option", choice) for choice in choices)]
    return element("select", *options, id=place, name=name, data_type=type_)


def _shown(value: Any, *, is_talk: bool) -> str:
    if is_talk:
        content = value[-1].get("content") if isinstance(value, list) and value and isinstance(value[-1], dict) else ""
        return content if isinstance(content, str) else ""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    return json.dumps(value, ensure_ascii=False)


async def read(form: FormData, manifest: Manifest) -> tuple[dict[str, Any], dict[str, Any], str | None]:
    """The row, the params and the form of the answer that a sent form asks for; raises RequestError."""
    types = {f"row.{column.name}": column for side in columns(manifest) for column in side}
    params = {f"param.{param.name}": param for param in manifest.signature.params}
    row: dict[str, Any] = {}
    arguments: dict[str, Any] = {}
    for key, value in form.multi_items():
        if isinstance(value, UploadFile):
            content = await value.read()
            if key in types and (content or types[key].required):
                row[str(types[key].name)] = content
        elif key in types and (value or types[key].required):
            row[str(types[key].name)] = typed(value, types[key].type, str(types[key].name), manifest)
        elif key in params and value:
            arguments[params[key].name] = typed(value, params[key].type, params[key].name, manifest)
    outputs = form.get("outputs")
    return row, arguments, outputs if isinstance(outputs, str) and outputs else None
