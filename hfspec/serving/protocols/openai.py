"""The OpenAI API: chat, completions, embeddings, audio and the list of models.

https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from hfspec.serving.front.app import Endpoint
from hfspec.serving.front.errors import RequestError
from hfspec.serving.front.exchange import Exchange, dumped, streamed, to_json
from hfspec.serving.front.model import Model
from hfspec.serving.protocols import transcripts
from hfspec.serving.replica.job import Form

CHAT, COMPLETIONS, EMBEDDINGS = "llm/v1/chat", "llm/v1/completions", "llm/v1/embeddings"
SPEECH = "automatic-speech-recognition"
# Clients that know a server by its address alone send these for a model's name: huggingface_hub's, and TGI's.
PLACEHOLDERS = frozenset({"dummy", "tgi"})
# Task of a request -> the tasks, by their canonical names, whose models answer it.
ANSWERED_BY: Mapping[str, frozenset[str]] = {
    CHAT: frozenset({CHAT, "conversational", "text-generation"}),
    COMPLETIONS: frozenset({COMPLETIONS, "text-generation"}),
    EMBEDDINGS: frozenset({EMBEDDINGS, "feature-extraction"}),
    SPEECH: frozenset({SPEECH}),
}
EVENTS = "text/event-stream"
TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    429: "rate_limit_error",
}
CODES = {401: "invalid_api_key", 413: "request_too_large", 429: "rate_limit_exceeded"}
ABOUT_MODEL = frozenset({"ModelError", "TaskError", "EndpointError"})


def error_of(error: RequestError) -> dict[str, Any]:
    """The error in OpenAI's form."""
    kind = TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    param = "model" if error.kind in ABOUT_MODEL else error.key
    code = "model_not_found" if (error.status, param) == (404, "model") else CODES.get(error.status)
    return {"error": {"message": error.message, "type": kind, "param": param, "code": code}}


def openai_error(error: RequestError, _: Exchange) -> Response:
    """The response for an error."""
    return to_json(error_of(error), error.status)


async def models(exchange: Exchange) -> Response:
    """The models that this protocol can ask."""
    entries = [_described(model, name) for model in exchange.offered() for name in model.entry.names]
    return to_json({"object": "list", "data": entries})


async def one_model(exchange: Exchange) -> Response:
    """A model under its name or an alias."""
    name = exchange.names["name"]
    return to_json(_described(exchange.model(name), name))


def _described(model: Model, name: str) -> dict[str, Any]:
    created = int(Path(model.entry.artifact).stat().st_mtime)
    return {"id": name, "object": "model", "created": created, "owned_by": "hfspec"}


async def chat(exchange: Exchange) -> Response:
    """A chat completion, whole or streamed."""
    return await _generated(exchange, CHAT)


async def completions(exchange: Exchange) -> Response:
    """A completion, whole or streamed."""
    return await _generated(exchange, COMPLETIONS)


async def _generated(exchange: Exchange, task: str) -> Response:
    body = await exchange.json_object()
    model = asked_model(exchange, body.get("model"), task)
    prompts, count = body.get("prompt"), body.get("n")
    rows = (len(prompts) if isinstance(prompts, list) else 1) * (count if type(count) is int and count > 0 else 1)
    asking = exchange.asking(body, rows, task=task)
    if body.get("stream_options") and body.get("stream") is not True:
        raise RequestError(
            400,
            "stream_options: they are for streams; give stream as well, or leave them out.",
            "InputError",
            key="stream_options",
        )
    if body.get("stream") is not True:
        return to_json({**await exchange.answer(model, asking), "model": model.name})
    pieces = await exchange.started(exchange.pieces(model, asking, Form.STREAM))
    return streamed(_events(pieces, model.name), EVENTS)


async def _events(pieces: AsyncIterator[Any], name: str) -> AsyncIterator[bytes]:
    """Server-sent events: a chunk each, an error that ends them, or [DONE]."""
    try:
        async for chunks in pieces:
            yield b"".join(b"data: " + dumped({**chunk, "model": name}) + b"\n\n" for chunk in chunks)
    except RequestError as error:
        yield b"data: " + dumped(error_of(error)) + b"\n\n"
    else:
        yield b"data: [DONE]\n\n"


async def embeddings(exchange: Exchange) -> Response:
    """The embeddings of texts."""
    body = await exchange.json_object()
    model = asked_model(exchange, body.get("model"), EMBEDDINGS)
    texts = body.get("input")
    asking = exchange.asking(body, len(texts) if isinstance(texts, list) else 1, task=EMBEDDINGS)
    return to_json({**await exchange.answer(model, asking), "model": model.name})


def asked_model(exchange: Exchange, name: Any, task: str) -> Model:
    """The model that a request names, or the only one, where its task can answer; raises RequestError."""
    if (
        isinstance(name, str)
        and name in PLACEHOLDERS
        and not any(name in model.entry.names for model in exchange.app.models)
    ):
        return exchange.only(ANSWERED_BY[task])
    return exchange.for_tasks(exchange.model(name), ANSWERED_BY[task])


async def transcriptions(exchange: Exchange) -> Response:
    """The words spoken in an uploaded sound."""
    return await _transcribed(exchange, {})


async def translations(exchange: Exchange) -> Response:
    """The words spoken in an uploaded sound, in English."""
    return await _transcribed(exchange, {"task": "translate"})


async def _transcribed(exchange: Exchange, settings: Mapping[str, Any]) -> Response:
    form = await exchange.form()
    try:
        model = asked_model(exchange, form.get("model"), SPEECH)
        request = transcripts.read(form, translates=bool(settings))
        sound = await _uploaded(form)
    finally:
        await form.close()
    is_whisper = model.manifest.deployment.model_class.startswith("Whisper")
    results = {}
    for times in request.passes(is_whisper=is_whisper):
        own = {**settings, **request.settings, **({} if times is None else {"return_timestamps": times})}
        asking = exchange.asking([sound], 1, None, "full", settings=own)
        (results[times],) = await exchange.answer(model, asking)
    answer = transcripts.written(results, request)
    if isinstance(answer, str):
        return Response(answer, media_type=request.media_type)
    return to_json(answer)


async def _uploaded(form: FormData) -> bytes:
    """The bytes of the file; raises RequestError."""
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise RequestError(400, "file: expected an uploaded file of audio.", "FormError", key="file")
    return await file.read()


def _endpoint(method: str, path: str, handler: Any, summary: str) -> Endpoint:
    return Endpoint(method, path, handler, openai_error, "openai", summary=summary)


ENDPOINTS = (
    _endpoint("GET", "/v1/models", models, "The models that this API can ask"),
    _endpoint("GET", "/v1/models/{name}", one_model, "One model"),
    _endpoint("POST", "/v1/chat/completions", chat, "What an assistant says next"),
    _endpoint("POST", "/v1/completions", completions, "How a text goes on"),
    _endpoint("POST", "/v1/embeddings", embeddings, "Embeddings of texts"),
    _endpoint("POST", "/v1/audio/transcriptions", transcriptions, "The words spoken in a sound"),
    _endpoint("POST", "/v1/audio/translations", translations, "The words spoken in a sound, in English"),
)
