"""hfspec's own protocol: rows of any form, answered as predict does, whole or one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.responses import Response

from hfspec.serving.front.app import Endpoint, plain_error
from hfspec.serving.front.errors import RequestError
from hfspec.serving.front.exchange import Exchange, dumped, loaded, streamed, to_json
from hfspec.serving.front.model import Model
from hfspec.serving.protocols import fields
from hfspec.serving.replica.job import Form

JSON_LINES = ("application/jsonl", "application/x-ndjson", "application/x-jsonlines")
KEYS = ("inputs", "params", "outputs")


def count(data: Any) -> int:
    """How many rows the data has, by its outer shape alone."""
    if isinstance(data, list):
        return len(data)
    if isinstance(data, Mapping):
        return max((len(value) for value in data.values() if isinstance(value, list)), default=1)
    return 1


async def models(exchange: Exchange) -> Response:
    """Every model, with its task and state, and why the last reload did not take the whole fleet."""
    models = exchange.app.models
    return to_json({"models": [described(model) for model in models], "reason": models.fault})


async def model(exchange: Exchange) -> Response:
    """One model: its task, signature, settings and limits."""
    return to_json(described(exchange.model(exchange.names["name"]), whole=True))


def described(model: Model, *, whole: bool = False) -> dict[str, Any]:
    """The public facts of a model."""
    generation = model.generation
    description: dict[str, Any] = {"name": model.name, "aliases": list(model.entry.aliases), "state": model.state.value}
    if generation is None:
        return description
    manifest, facts = generation.manifest, generation.facts()
    description |= {
        "task": manifest.deployment.task,
        "library": manifest.deployment.library,
        "digest": manifest.digest,
        "fingerprint": facts.get("fingerprint"),
        "dtype": facts.get("dtype"),
        "device": facts.get("device"),
        "joins_at_every_step": facts.get("joins", False),
        "reason": model.reason,
    }
    if whole:
        description["limits"] = model.entry.limits.model_dump(mode="json")
        settings = facts.get("settings", {})
        description["settings"] = {
            name: {"value": value, "origin": origin} for name, (value, origin) in settings.items()
        }
    return description


async def predict(exchange: Exchange) -> Response:
    """The answer to rows: a JSON object with inputs, and params and outputs; JSON Lines, a row a line; or a form
    with files, one row.
    """
    target = exchange.model(exchange.names["name"])
    if exchange.content_type in JSON_LINES:
        return await _lines(exchange, target)
    if exchange.content_type == "multipart/form-data":
        return await _form(exchange, target)
    body = await exchange.json_object()
    if "inputs" not in body:
        raise RequestError(400, "the body needs `inputs`: a row, or a list of rows.", "JSONError")
    for key in body:
        if key not in KEYS:
            raise RequestError(400, f"the body has no key {key!r}; its keys are: {', '.join(KEYS)}.", "JSONError")
    params = body.get("params")
    if params is not None and not isinstance(params, dict):
        raise RequestError(400, "`params` must be an object.", "JSONError")
    asking = exchange.asking(body["inputs"], count(body["inputs"]), params, body.get("outputs"))
    return to_json({"predictions": await exchange.answer(target, asking)})


async def _form(exchange: Exchange, target: Model) -> Response:
    """The answer to one row, whose columns are the fields and the files of a form."""
    sent = await exchange.form()
    try:
        row, params, outputs = await fields.read(sent, target.manifest)
    finally:
        await sent.close()
    return to_json({"predictions": await exchange.answer(target, exchange.asking([row], 1, params, outputs))})


async def _lines(exchange: Exchange, target: Model) -> Response:
    """A line for each line: the row's answer, or its error."""
    text = await exchange.body()
    rows = []
    for number, line in enumerate(text.splitlines()):
        if not line.strip():
            continue
        try:
            rows.append(loaded(line))
        except ValueError as error:
            raise RequestError(400, f"line {number + 1} is not JSON: {error}.", "JSONError", number) from error

    async def lines() -> AsyncIterator[bytes]:
        try:
            async for piece in exchange.pieces(target, exchange.asking(rows, len(rows)), Form.ROWS):
                yield dumped(piece) + b"\n"
        except RequestError as error:
            yield dumped({"error": {"kind": error.kind, "message": error.text}}) + b"\n"

    return streamed(lines(), JSON_LINES[0])


ENDPOINTS = (
    Endpoint("GET", "/models", models, plain_error, summary="Every model"),
    Endpoint("GET", "/models/{name}", model, plain_error, summary="One model, its settings and limits"),
    Endpoint("POST", "/models/{name}/predict", predict, plain_error, summary="The answer to rows"),
)
