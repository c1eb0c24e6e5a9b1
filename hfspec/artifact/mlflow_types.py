"""MLflow's types of columns, and those that its own schemas give the requests and answers of the OpenAI API
(``mlflow/types/llm.py``).

Written out, since MLflow is not needed to compile; tests compare them with the installed MLflow's.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hfspec.ir.signature import Column

CHAT, COMPLETIONS, EMBEDDINGS = "llm/v1/chat", "llm/v1/completions", "llm/v1/embeddings"


def column_type(task: str, name: str) -> Mapping[str, Any] | None:
    """MLflow's type of a request's key; None where MLflow has no such key, or the task is none of the API's."""
    return REQUESTS.get(task, {}).get(name)


def answer_columns(task: str, outputs: tuple[Column, ...]) -> list[dict[str, Any]] | None:
    """MLflow's columns of the API's answer; None where the outputs are not that answer."""
    if task not in ANSWERS or [(column.type, column.name) for column in outputs] != [("any", None)]:
        return None
    return [{"name": name, **kind} for name, kind in ANSWERS[task].items()]


def declared_type(column: Column) -> Mapping[str, Any]:
    """MLflow's type of a column, by itself: arrays and objects with their fields, anything for one without."""
    if column.item is not None:
        return _array(declared_type(column.item))
    if column.type != "object":
        return {"type": column.type}
    if not column.fields:
        return {"type": "any"}
    properties = {str(one.name): {**declared_type(one), "required": one.required} for one in column.fields}
    return {"type": "object", "properties": dict(sorted(properties.items()))}


def _array(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _object(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    properties = {name: {**kind, "required": True} for name, kind in required.items()}
    properties |= {name: {**kind, "required": False} for name, kind in (optional or {}).items()}
    return {"type": "object", "properties": dict(sorted(properties.items()))}


STRING, LONG, BOOLEAN = {"type": "string"}, {"type": "long"}, {"type": "boolean"}
TOOL_CALLS = _array(_object({"id": STRING, "type": STRING, "function": _object({"name": STRING, "arguments": STRING})}))
MESSAGE = _object(
    {"role": STRING},
    {"content": STRING, "name": STRING, "refusal": STRING, "tool_call_id": STRING, "tool_calls": TOOL_CALLS},
)
PARAMETER = _object(
    {"type": STRING}, {"description": STRING, "enum": _array(STRING), "items": _object({"type": STRING})}
)
PARAMETERS = _object(
    {"properties": {"type": "map", "values": PARAMETER}},
    {"type": STRING, "required": _array(STRING), "additionalProperties": BOOLEAN},
)
FUNCTION = _object({"name": STRING, "parameters": PARAMETERS}, {"description": STRING, "strict": BOOLEAN})
TOOL = _object({"type": STRING}, {"function": FUNCTION})
USAGE = _object({"prompt_tokens": LONG, "completion_tokens": LONG, "total_tokens": LONG})
ABOUT = {name: {**kind, "required": True} for name, kind in (("id", STRING), ("object", STRING), ("created", LONG))} | {
    "model": {**STRING, "required": True}
}
STOP = _array(STRING)
REQUESTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        CHAT: {"messages": _array(MESSAGE), "stop": STOP, "tools": _array(TOOL)},
        COMPLETIONS: {"prompt": STRING, "stop": STOP},
        EMBEDDINGS: {"input": STRING},
    }
)
CHAT_CHOICE = _object({"index": LONG, "message": MESSAGE, "finish_reason": STRING})
COMPLETION_CHOICE = _object({"index": LONG, "text": STRING, "finish_reason": STRING})
EMBEDDING = _object({"index": LONG, "object": STRING, "embedding": _array({"type": "double"})})
EMBEDDING_USAGE = _object({"prompt_tokens": LONG, "total_tokens": LONG})
ANSWERS: Mapping[str, Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        CHAT: ABOUT
        | {
            "choices": {**_array(CHAT_CHOICE), "required": True},
            "usage": {**USAGE, "required": False},
            "custom_outputs": {"type": "map", "values": {"type": "any"}, "required": False},
        },
        COMPLETIONS: ABOUT
        | {"choices": {**_array(COMPLETION_CHOICE), "required": True}, "usage": {**USAGE, "required": True}},
        EMBEDDINGS: {
            "object": {**STRING, "required": True},
            "data": {**_array(EMBEDDING), "required": True},
            "usage": {**EMBEDDING_USAGE, "required": True},
        },
    }
)
