"""The Open Inference Protocol, version 2, over REST, with its binary tensors, and with Triton's repository,
configuration and statistics (https://github.com/kserve/open-inference-protocol).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from hfspec.serving.front.app import Endpoint
from hfspec.serving.front.errors import RequestError
from hfspec.serving.front.exchange import Exchange, dumped, loaded, to_json
from hfspec.serving.front.model import Model
from hfspec.serving.protocols.v2 import facts, requests, tensors
from hfspec.serving.protocols.v2.requests import Head, Request
from hfspec.serving.protocols.v2.tensors import Given

HEAD = b"inference-header-content-length"  # how many bytes of the body are JSON, where binary tensors follow


def said(error: RequestError, _: Exchange) -> Response:
    """An error in the protocol's form."""
    return to_json({"error": error.text}, error.status)


async def server(_: Exchange) -> Response:
    """The server's name, version and extensions."""
    return to_json(facts.server())


async def live(_: Exchange) -> Response:
    """The process lives."""
    return to_json({"live": True})


async def ready(exchange: Exchange) -> Response:
    """Whether every model answers."""
    is_ready = facts.is_ready(exchange.app)
    return to_json({"ready": is_ready}, 200 if is_ready else 503)


async def model(exchange: Exchange) -> Response:
    """A model's tensors."""
    return to_json(facts.metadata(_model(exchange)))


async def config(exchange: Exchange) -> Response:
    """A model's tensors in Triton's configuration."""
    return to_json(facts.config(_model(exchange)))


async def statistics(exchange: Exchange) -> Response:
    """The statistics of a model, or of every model."""
    models = [_model(exchange)] if "name" in exchange.names else exchange.offered()
    return to_json(facts.statistics(exchange.app, models))


async def model_ready(exchange: Exchange) -> Response:
    """Whether a model answers."""
    target = _model(exchange)
    return to_json({"name": target.name, "ready": target.is_ready}, 200 if target.is_ready else 503)


async def infer(exchange: Exchange) -> Response:
    """The answer to rows, which are named tensors, as named tensors."""
    target = _model(exchange)
    request = await _request(exchange, target)
    return _response(target, request, await requests.answered(exchange, target, request))


async def index(exchange: Exchange) -> Response:
    """Every model that the server knows, and its state."""
    body = _object(await exchange.body(), "the body")
    return to_json(facts.index(exchange.app, only_ready=bool(body.get("ready"))))


async def load(exchange: Exchange) -> Response:
    """Read the model's entry and its artifact anew, and let it answer; a bad one leaves what answered before."""
    body = _object(await exchange.body(), "the body")
    await facts.load(exchange.app, exchange.names["name"], body.get("parameters"))
    return to_json({})


async def unload(exchange: Exchange) -> Response:
    """Let the model answer no more, once the requests in flight have been answered."""
    await facts.unload(exchange.app, exchange.names["name"])
    return to_json({})


def _model(exchange: Exchange) -> Model:
    return facts.find(exchange, exchange.names["name"], exchange.names.get("version", ""))


async def _request(exchange: Exchange, model: Model) -> Request:
    """The request in the body; raises RequestError."""
    body = await exchange.body()
    size = _head_size(exchange, len(body))
    head = _object(body[:size], "the request")
    rest = memoryview(body)[size:]
    first = 0

    def values(tensor: Head) -> Given:
        nonlocal first
        one = head["inputs"][tensor.place]
        length = requests.parameters(one, f"input {tensor.name!r}").get("binary_data_size")
        if length is None:
            return _from_json(tensor, one, model)
        if type(length) is not int or not 0 <= length <= len(rest) - first:
            raise tensors.fault(tensor.name, "its binary_data_size is more than was sent")
        first += length
        part = bytes(rest[first - length : first])
        return tensors.from_bytes(tensor.name, tensor.datatype, tensor.shape, part)

    request = requests.read(head, model, values)
    if first != len(rest):
        raise RequestError(400, f"{len(rest) - first} bytes of the body belong to no input.", "InputError")
    return request


def _from_json(tensor: Head, one: Mapping[str, Any], model: Model) -> Given:
    if "data" not in one:
        raise tensors.fault(tensor.name, "it has neither data nor binary_data_size")
    value = tensors.from_json(tensor.name, tensor.datatype, tensor.shape, one["data"])
    return tensors.content(value, tensors.inputs(model.manifest.signature))


def _head_size(exchange: Exchange, size: int) -> int:
    header = exchange.headers.get(HEAD)
    if header is None:
        return size
    if not header.isdigit() or int(header) > size:
        raise RequestError(400, f"{HEAD.decode()} must be at most the body's size, {size} bytes.", "HeaderError")
    return int(header)


def _object(body: bytes, what: str) -> dict[str, Any]:
    """The JSON object in these bytes, empty where there are none; raises RequestError."""
    try:
        value = loaded(body) if body.strip() else {}
    except ValueError as error:
        raise RequestError(400, f"{what} is not JSON: {error}.", "JSONError") from error
    if not isinstance(value, dict):
        raise RequestError(400, f"{what} must be a JSON object.", "JSONError")
    return value


def _response(target: Model, request: Request, outputs: Sequence[Given]) -> Response:
    """The tensors in JSON, and after it in bytes where the request asks for bytes."""
    entries, parts = [], []
    for tensor in outputs:
        one: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if request.wanted.get(tensor.name, request.binary):
            parts.append(tensors.to_bytes(tensor))
            one["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            one["data"] = tensors.to_json(tensor)
        entries.append(one)
    head: dict[str, Any] = {"model_name": target.name, "model_version": facts.VERSION, "outputs": entries}
    if request.id is not None:
        head["id"] = request.id
    if not parts:
        return to_json(head)
    text = dumped(head)
    return Response(
        b"".join((text, *parts)), headers={HEAD.decode(): str(len(text))}, media_type="application/octet-stream"
    )


def _endpoints() -> tuple[Endpoint, ...]:
    """Every path; a model's paths come with and without its version."""
    endpoints = [
        Endpoint("GET", "/v2", server, said, "v2", scope="", summary="The server's name and extensions"),
        Endpoint("GET", "/v2/health/live", live, said, "v2", scope="", summary="Whether the process lives"),
        Endpoint("GET", "/v2/health/ready", ready, said, "v2", scope="", summary="Whether every model answers"),
        Endpoint("GET", "/v2/models/stats", statistics, said, "v2", summary="What every model has done"),
        Endpoint("POST", "/v2/repository/index", index, said, "v2", summary="Every model and its state"),
        Endpoint("POST", "/v2/repository/models/{name}/load", load, said, "v2", "admin", "Load a model anew"),
        Endpoint("POST", "/v2/repository/models/{name}/unload", unload, said, "v2", "admin", "Unload a model"),
    ]
    for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        endpoints += [
            Endpoint("GET", path, model, said, "v2", summary="A model's tensors"),
            Endpoint("GET", f"{path}/ready", model_ready, said, "v2", scope="", summary="Whether a model answers"),
            Endpoint(
                "GET", f"{path}/config", config, said, "v2", summary="A model's tensors, as Triton configures them"
            ),
            Endpoint("GET", f"{path}/stats", statistics, said, "v2", summary="What a model has done"),
            Endpoint("POST", f"{path}/infer", infer, said, "v2", summary="The answer to named tensors"),
        ]
    return tuple(endpoints)


ENDPOINTS = _endpoints()
