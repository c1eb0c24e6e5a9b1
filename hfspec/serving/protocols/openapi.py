"""The OpenAPI 3.1 document of a server, from its endpoints and the models' signatures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from starlette.responses import Response

from hfspec import __version__
from hfspec.ir.artifact import FORMS, Manifest
from hfspec.serving.front.app import App, Endpoint, plain_error
from hfspec.serving.front.errors import RequestError
from hfspec.serving.front.exchange import Exchange, to_json
from hfspec.serving.front.model import Model
from hfspec.serving.page import html
from hfspec.serving.protocols import schemas
from hfspec.serving.protocols.schemas import Schema
from hfspec.tasks.endpoints import fits

JSON, LINES, BINARY, FORM = "application/json", "application/jsonl", "application/octet-stream", "multipart/form-data"
PREDICT, ONE_MODEL = "/models/{name}/predict", "/models/{name}"
INFER = re.compile(r"/v2/models/\{name\}(/versions/\{version\})?/infer\Z")
TEXTS: Schema = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
MESSAGES = schemas.KNOWN["messages"]
DOCUMENTS: Schema = {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "object"}]}}
# Path -> the keys that its body must have, for protocols that name the model in the body.
BODIES: Mapping[str, Mapping[str, Schema]] = MappingProxyType(
    {
        "/v1/chat/completions": {"messages": MESSAGES},
        "/v1/completions": {"prompt": {}},
        "/v1/embeddings": {"input": {}},
        "/rerank": {"query": {"type": "string"}},
        "/v1/rerank": {"query": {"type": "string"}, "documents": DOCUMENTS},
        "/v2/rerank": {"query": {"type": "string"}, "documents": DOCUMENTS},
        "/embed": {"inputs": TEXTS},
        "/embed_sparse": {"inputs": TEXTS},
        "/predict": {"inputs": {}},
        "/similarity": {"inputs": {"type": "object", "required": ["source_sentence", "sentences"]}},
    }
)
HTML, TEXT, EVENTS = "text/html", "text/plain", "text/event-stream"
# Path, with its method where methods differ -> the content types of its answer, where they are not JSON alone.
KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "GET /": (HTML,),
        "/try": (HTML,),
        "/docs": (HTML,),
        "/page.css": ("text/css",),
        "/page.js": ("text/javascript",),
        "/metrics": (TEXT,),
        "/ping": (),  # as in MLflow: no JSON, though the content type says so
        "/health": (),
        "/version": (),
        "/v1/chat/completions": (JSON, EVENTS),
        "/v1/completions": (JSON, EVENTS),
        "/v1/audio/transcriptions": (JSON, TEXT, "text/vtt"),
        "/v1/audio/translations": (JSON, TEXT, "text/vtt"),
    }
)
ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["kind", "message", "request_id"],
            "properties": {
                "kind": {"type": "string"},
                "message": {"type": "string"},
                "request_id": {"type": "string"},
                "row": {"type": "integer"},
            },
        }
    },
}
ERRORS: Mapping[str, Schema] = MappingProxyType(
    {
        "hfspec": ERROR,
        "v2": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
    }
)
MODEL: Schema = {
    "type": "object",
    "required": ["name", "aliases", "state"],
    "properties": {
        "name": {"type": "string"},
        "aliases": {"type": "array", "items": {"type": "string"}},
        "state": {"enum": ["loading", "ready", "crashing", "failed", "unloaded"]},
        "task": {"type": "string"},
    },
}


async def document_of(exchange: Exchange) -> Response:
    """The document as JSON."""
    _check(exchange)
    return to_json(document(exchange.app))


async def docs(exchange: Exchange) -> Response:
    """The document as a page."""
    _check(exchange)
    return html.response(html.docs(document(exchange.app)))


def _check(exchange: Exchange) -> None:
    if not exchange.app.settings.docs:
        raise RequestError(404, "this server does not offer its documentation.", "PathError")


def document(app: App) -> dict[str, Any]:
    """The OpenAPI document of a running server."""
    models = {model.name: model.generation.manifest for model in app.models if model.generation is not None}
    rows = {f"{name}.row": schemas.row(manifest) for name, manifest in models.items()}
    components: dict[str, Any] = {"schemas": {"Error": ERROR, "Model": MODEL, **rows}}
    content: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "hfspec", "version": __version__, "description": f"Models: {', '.join(models) or 'none'}."},
        "tags": [{"name": name} for name in dict.fromkeys(endpoint.protocol for endpoint in app.endpoints)],
        "paths": _paths(app),
        "components": components,
    }
    if app.settings.api_keys is not None and app.settings.api_keys.keys:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return content


def _paths(app: App) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for endpoint in app.endpoints:
        for path, operation in _operations(endpoint, app):
            asks_key = endpoint.scope and app.settings.api_keys is not None and app.settings.api_keys.keys
            security: dict[str, Any] = {"security": [{"key": []}]} if asks_key else {}
            whole = {**operation, **_common(endpoint, operation, path), **security}
            paths.setdefault(path, {})[endpoint.method.lower()] = whole
    return paths


def _operations(endpoint: Endpoint, app: App) -> Iterator[tuple[str, dict[str, Any]]]:
    """The endpoint's operations: one for each model where a path names a model, else one."""
    if not endpoint.path.startswith(("/models/{name}", "/v2/models/{name}")):
        yield endpoint.path, _whole(endpoint, app)
        return
    for model in app.models:
        if not _offers(model, endpoint.protocol) or model.generation is None:
            continue
        path = endpoint.path.replace("{name}", model.name).replace("{version}", "1")
        yield path, _of_model(endpoint, model, model.generation.manifest)


def _offers(model: Model, protocol: str) -> bool:
    return model.entry.endpoints is None or protocol in model.entry.endpoints


def _of_model(endpoint: Endpoint, model: Model, manifest: Manifest) -> dict[str, Any]:
    if endpoint.path == PREDICT:
        return _predict(model, manifest)
    if INFER.match(endpoint.path):
        body, answer = schemas.infer_request(manifest), schemas.infer_answer(manifest)
        content = {JSON: {"schema": body}, BINARY: {"schema": {"type": "string", "format": "binary"}}}
        answers = {JSON: {"schema": answer}, BINARY: {"schema": {"type": "string", "format": "binary"}}}
        return {"requestBody": {"required": True, "content": content}, "responses": _answered(answers)}
    schema: Schema = {"$ref": "#/components/schemas/Model"} if endpoint.path == ONE_MODEL else {"type": "object"}
    return {"responses": _answered({JSON: {"schema": schema}})}


def _predict(model: Model, manifest: Manifest) -> dict[str, Any]:
    """The typed request and answer of one model."""
    body = {
        "type": "object",
        "required": ["inputs"],
        "additionalProperties": False,
        "properties": {
            "inputs": schemas.inputs(manifest, f"#/components/schemas/{model.name}.row"),
            "params": schemas.params(manifest),
            "outputs": schemas.outputs(),
        },
    }
    sample = {"inputs": schemas.example(manifest, Path(model.entry.artifact))}
    answer = {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": schemas.predictions(manifest)},
    }
    lines = {"type": "string", "description": "A row a line; answered by a line for each."}
    return {
        "description": f"{manifest.deployment.task} by {model.name}.",
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": body, "examples": {"example": {"value": sample}}},
                LINES: {"schema": lines},
                FORM: {"schema": _fields(manifest)},
            },
        },
        "responses": _answered({JSON: {"schema": answer}, LINES: {"schema": lines}}),
    }


def _fields(manifest: Manifest) -> Schema:
    """A row as a form: files as they are, other values as text, or JSON."""
    row = schemas.row(manifest)
    texts = {
        name: {"type": "string", "format": "binary"} if "contentEncoding" in schema else {"type": "string"}
        for name, schema in row.get("properties", {}).items()
    }
    extra = {"params": {"type": "string", "contentMediaType": JSON}, "outputs": {"enum": list(FORMS)}}
    return {"type": "object", "required": row.get("required", []), "properties": {**texts, **extra}}


def _whole(endpoint: Endpoint, app: App) -> dict[str, Any]:
    """An operation over all models."""
    operation: dict[str, Any] = {}
    if endpoint.path == "/models":
        properties = {"models": {"type": "array", "items": MODEL}, "reason": {"type": "string"}}
        schema = {"type": "object", "properties": properties}
        return {"responses": _answered({JSON: {"schema": schema}})}
    if endpoint.path.startswith("/v1/audio/"):
        fields = {"file": {"type": "string", "format": "binary"}, "model": _names(endpoint, app)}
        form = {"type": "object", "required": ["file"], "properties": fields}
        operation["requestBody"] = {"required": True, "content": {FORM: {"schema": form}}}
    elif endpoint.path in BODIES:
        needed = dict(BODIES[endpoint.path])
        names = {} if endpoint.protocol == "tei" else {"model": _names(endpoint, app)}
        body = {"type": "object", "required": list(needed), "properties": {**needed, **names}}
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": body}}}
    elif endpoint.path == "/try":
        operation["requestBody"] = {"required": True, "content": {FORM: {"schema": {"type": "object"}}}}
    elif endpoint.method == "POST":
        required = not endpoint.path.startswith("/v2/repository")
        operation["requestBody"] = {"required": required, "content": {JSON: {"schema": {"type": "object"}}}}
    return {**operation, "responses": _answered({kind: {"schema": {}} for kind in _kinds(endpoint)})}


def _kinds(endpoint: Endpoint) -> tuple[str, ...]:
    return KINDS.get(f"{endpoint.method} {endpoint.path}") or KINDS.get(endpoint.path, (JSON,))


def _names(endpoint: Endpoint, app: App) -> Schema:
    """The names of the models that this protocol can ask."""
    names: list[str] = []
    for model in app.models:
        deployment = None if model.generation is None else model.generation.manifest.deployment
        if (
            deployment
            and _offers(model, endpoint.protocol)
            and fits(endpoint.protocol, deployment.library, deployment.task)
        ):
            names += model.entry.names
    return {"type": "string", "enum": names} if names else {"type": "string"}


def _answered(content: Mapping[str, Any]) -> dict[str, Any]:
    return {"200": {"description": "The answer.", "content": dict(content)}}


def _common(endpoint: Endpoint, operation: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The summary, the parts of the path that vary, and the errors in the protocol's form."""
    error = ERRORS.get(endpoint.protocol, {"type": "object"})
    kinds = {HTML: {"schema": {}}} if _kinds(endpoint) == (HTML,) else {JSON: {"schema": error}}
    common: dict[str, Any] = {
        "summary": endpoint.summary,
        "tags": [endpoint.protocol],
        "operationId": re.sub(r"[^a-z0-9]+", "_", f"{endpoint.method} {path}".lower()).strip("_"),
        "responses": {**operation["responses"], "default": {"description": "An error.", "content": kinds}},
    }
    if endpoint.path.endswith("ready"):  # a model that is not ready says so in the same form
        common["responses"]["503"] = operation["responses"]["200"]
    if parts := re.findall(r"\{(\w+)\}", path):
        schema = {"type": "string"}
        common["parameters"] = [{"name": part, "in": "path", "required": True, "schema": schema} for part in parts]
    return common


ENDPOINTS = (
    Endpoint("GET", "/openapi.json", document_of, plain_error, summary="What the server offers, by OpenAPI"),
    Endpoint("GET", "/docs", docs, html.error, summary="The same as a page"),
)
