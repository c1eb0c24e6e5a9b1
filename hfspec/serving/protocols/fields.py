"""A row as the fields of a form: a field a column, files as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import orjson
from starlette.datastructures import FormData, UploadFile

from hfspec.ir.artifact import Manifest
from hfspec.ir.signature import Tensor
from hfspec.serving.front.errors import RequestError

CHATS = frozenset({"llm/v1/chat", "conversational"})
# A column's type, by MLflow's name, in words; others are numbers.
WORDS: Mapping[str, str] = MappingProxyType(
    {"binary": "a file", "boolean": "true or false", "object": "JSON", "array": "JSON", "any": "text or JSON"}
)
OWN = ("params", "outputs")


async def read(form: FormData, manifest: Manifest) -> tuple[dict[str, Any], dict[str, Any] | None, str | None]:
    """The row, the params (a field of JSON) and the form of the answer; raises RequestError."""
    side = manifest.signature.inputs
    types = {} if isinstance(side, Tensor) else {str(column.name): column.type for column in side}
    row: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name in OWN:
            continue
        if name not in types:
            names = ", ".join((*types, *OWN))
            raise RequestError(400, f"the form has no field {name!r}; its fields are: {names}.", "FormError")
        if name in row:
            raise RequestError(400, f"the field {name!r} is given twice; a form is one row.", "FormError")
        row[name] = await value.read() if isinstance(value, UploadFile) else typed(value, types[name], name, manifest)
    outputs = form.get("outputs")
    return row, _params(form.get("params")), outputs if isinstance(outputs, str) else None


def _params(text: Any) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        params = orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError):
        params = None
    if not isinstance(params, dict):
        raise RequestError(400, "the field `params` must be a JSON object.", "FormError")
    return params


def typed(text: str, kind: str, name: str, manifest: Manifest) -> Any:
    """The text of a field as a value of its type; raises RequestError."""
    text = text.replace("\r\n", "\n")
    if name == "messages" and not text.lstrip().startswith("[") and manifest.deployment.task in CHATS:
        return [{"role": "user", "content": text}]
    if name == "documents" and not text.lstrip().startswith("["):
        return [line for line in text.split("\n") if line.strip()]
    if kind in {"string", "binary"}:
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        if kind == "any":
            return text
        raise RequestError(400, f"{name}: {text!r} is not {WORDS.get(kind, 'a number')}.", "FormError") from error
