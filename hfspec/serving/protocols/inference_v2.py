"""The Open Inference Protocol, version 2, over REST, with its binary tensors and its repository
(https://github.com/kserve/open-inference-protocol).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from starlette.responses import Response

from hfspec import __version__
from hfspec.ir.artifact import FULL, STANDARD
from hfspec.ir.signature import Signature
from hfspec.serving.front.app import Endpoint
from hfspec.serving.front.errors import RequestError, unavailable
from hfspec.serving.front.exchange import Exchange, dumped, to_json
from hfspec.serving.front.generation import State
from hfspec.serving.front.model import Model
from hfspec.serving.protocols import tensors
from hfspec.serving.protocols.tensors import Given

VERSION = "1"  # of every model: the artifact that answers under its name
HEAD = b"inference-header-content-length"  # how many bytes of the body are JSON, where binary tensors follow
EXTENSIONS = ("binary_tensor_data", "model_repository")
OWN = frozenset({"binary_data_output", "outputs", "timeout", "priority"})  # parameters that are not predict's
MICROSECONDS = 1e6
READY = {State.READY: "READY", State.LOADING: "LOADING"}


@dataclass(frozen=True, slots=True)
class Request:
    """``wanted``: the outputs asked for, and whether each in bytes; none for all. ``binary``: whether these are."""

    id: str | None
    given: tuple[Given, ...]
    wanted: Mapping[str, bool]
    params: Mapping[str, Any]
    binary: bool = False
    outputs: str = STANDARD
    seconds: float | None = None


def said(error: RequestError, _: Exchange) -> Response:
    """An error in the protocol's form."""
    return to_json({"error": error.text}, error.status)


async def server(_: Exchange) -> Response:
    """The server's name, version and extensions."""
    return to_json({"name": "hfspec", "version": __version__, "extensions": list(EXTENSIONS)})


async def live(_: Exchange) -> Response:
    """The process lives."""
    return to_json({"live": True})


async def ready(exchange: Exchange) -> Response:
    """Whether every model answers."""
    is_ready = exchange.app.models.is_ready and not exchange.app.is_leaving
    return to_json({"ready": is_ready}, 200 if is_ready else 503)


async def model(exchange: Exchange) -> Response:
    """A model's tensors."""
    found = _model(exchange)
    manifest = found.manifest
    return to_json(
        {
            "name": found.name,
            "versions": [VERSION],
            "platform": f"hfspec_{manifest.deployment.library}",
            "inputs": [tensor.to_json() for tensor in tensors.inputs(manifest.signature)],
            "outputs": [tensor.to_json() for tensor in tensors.outputs(manifest.signature)],
            "parameters": {"task": manifest.deployment.task, "digest": manifest.digest},
        }
    )


async def model_ready(exchange: Exchange) -> Response:
    """Whether a model answers."""
    found = _model(exchange)
    return to_json({"name": found.name, "ready": found.is_ready}, 200 if found.is_ready else 503)


async def infer(exchange: Exchange) -> Response:
    """The answer to rows, which are named tensors, as named tensors."""
    found = _model(exchange)
    signature = found.manifest.signature
    request = await _request(exchange, signature, found.entry.limits.rows)
    rows = tensors.rows(request.given, tensors.inputs(signature))
    asking = exchange.asking(rows, len(rows), request.params or None, request.outputs)
    if request.seconds is not None:
        asking = replace(asking, seconds=min(request.seconds, asking.seconds or request.seconds))
    answer = await exchange.answer(found, asking)
    if request.outputs == FULL:
        given = tensors.full_answer(answer)
    else:
        given = tensors.of_answer(answer, tensors.outputs(signature))
    return _response(found, request, _chosen(given, request.wanted))


async def index(exchange: Exchange) -> Response:
    """Every model that the server knows, and what it is doing."""
    body = _object(await exchange.body(), "the body")
    found = [
        {
            "name": model.name,
            "version": VERSION,
            "state": READY.get(model.state, "UNAVAILABLE"),
            "reason": model.reason or ("unloaded" if model.state is State.UNLOADED else ""),
        }
        for model in exchange.app.models
        if not body.get("ready") or model.is_ready
    ]
    return to_json(found)


async def load(exchange: Exchange) -> Response:
    """Read the model's entry and its artifact anew, and let it answer; a bad one leaves what answered before."""
    body = _object(await exchange.body(), "the body")
    if body.get("parameters"):
        raise RequestError(400, "a model is loaded as the fleet file says; parameters are not taken.", "InputError")
    await exchange.app.models.load_again(exchange.names["name"], exchange.app.settings.grace)
    return to_json({})


async def unload(exchange: Exchange) -> Response:
    """Let the model answer no more, once what is in flight has been answered."""
    found = exchange.app.models.find(exchange.names["name"])
    await found.unload(exchange.app.settings.grace)
    return to_json({})


def _model(exchange: Exchange) -> Model:
    """The model of the path, in its only version; raises RequestError."""
    found = exchange.model(exchange.names["name"])
    version = exchange.names.get("version", VERSION)
    if version != VERSION:
        raise RequestError(404, f"{found.name} has no version {version!r}; it has: {VERSION}.", "ModelError")
    if found.generation is None:
        raise unavailable(f"the model {found.name!r} is not loaded.")
    return found


async def _request(exchange: Exchange, signature: Signature, most: int) -> Request:
    """The request in the body, of at most so many rows; raises RequestError."""
    if b"content-encoding" in exchange.headers:
        raise RequestError(415, "the body must not be compressed.", "ContentTypeError")
    body = await exchange.body()
    size = _head_size(exchange, len(body))
    head = _object(body[:size], "the request")
    given = _inputs(head.get("inputs"), body[size:], signature, most)
    parameters = _parameters(head, "the request")
    return Request(
        _id(head),
        given,
        _wanted(head.get("outputs"), bool(parameters.get("binary_data_output"))),
        {name: value for name, value in parameters.items() if name not in OWN},
        bool(parameters.get("binary_data_output")),
        str(parameters.get("outputs", STANDARD)),
        _seconds(parameters.get("timeout")),
    )


def _head_size(exchange: Exchange, size: int) -> int:
    given = exchange.headers.get(HEAD)
    if given is None:
        return size
    if not given.isdigit() or int(given) > size:
        raise RequestError(400, f"{HEAD.decode()} must be at most the body's size, {size} bytes.", "HeaderError")
    return int(given)


def _object(body: bytes, what: str) -> dict[str, Any]:
    """The JSON object in these bytes, empty where there are none; raises RequestError."""
    try:
        found = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"{what} is not JSON: {error}.", "JSONError") from error
    if not isinstance(found, dict):
        raise RequestError(400, f"{what} must be a JSON object.", "JSONError")
    return found


def _parameters(holder: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    found = holder.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise RequestError(400, f"`parameters` of {what} must be an object.", "JSONError")
    return found


def _id(head: Mapping[str, Any]) -> str | None:
    found = head.get("id")
    if found is not None and not isinstance(found, str):
        raise RequestError(400, "`id` must be a text.", "JSONError")
    return found


def _seconds(timeout: Any) -> float | None:
    """How long the caller waits, from its microseconds."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0:
        raise RequestError(400, "`timeout` must be a number of microseconds above 0.", "InputError")
    return float(timeout) / MICROSECONDS


def _inputs(listed: Any, rest: bytes, signature: Signature, most: int) -> tuple[Given, ...]:
    """The tensors, each from JSON or from its part of the bytes that follow; raises RequestError."""
    if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) for one in listed):
        raise RequestError(400, "`inputs` must be a list of tensors: name, shape, datatype and data.", "JSONError")
    described = tensors.inputs(signature)
    found, first = [], 0
    for one in listed:
        name, datatype, shape = _checked(one)
        if shape[0] > most:
            said = f"the request has {shape[0]} rows; the model takes at most {most} at once."
            raise RequestError(413, said, "TooLargeError")
        size = _parameters(one, f"input {name!r}").get("binary_data_size")
        if size is None:
            if "data" not in one:
                raise RequestError(400, f"input {name!r} has neither data nor binary_data_size.", "InputError")
            found.append(tensors.content(tensors.from_json(name, datatype, shape, one["data"]), described))
            continue
        if type(size) is not int or not 0 <= size <= len(rest) - first:
            raise RequestError(400, f"binary_data_size of input {name!r} is more than was sent.", "InputError")
        found.append(tensors.from_bytes(name, datatype, shape, rest[first : first + size]))
        first += size
    if first != len(rest):
        raise RequestError(400, f"{len(rest) - first} bytes of the body belong to no input.", "InputError")
    return tuple(found)


def _checked(one: Mapping[str, Any]) -> tuple[str, str, tuple[int, ...]]:
    name, datatype, shape = one.get("name"), one.get("datatype"), one.get("shape")
    if not isinstance(name, str):
        raise RequestError(400, "every input needs a name.", "InputError")
    if datatype != tensors.BYTES and (not isinstance(datatype, str) or datatype not in tensors.NUMBERS):
        known = ", ".join((tensors.BYTES, *tensors.NUMBERS))
        raise RequestError(400, f"input {name!r}: the datatype must be one of {known}.", "InputError")
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size >= 0 for size in shape):
        raise RequestError(400, f"input {name!r}: the shape must be a list of numbers from 0.", "InputError")
    return name, datatype, tuple(shape)


def _wanted(listed: Any, binary: bool) -> Mapping[str, bool]:  # noqa: FBT001 - the request's own
    """The outputs asked for; raises RequestError."""
    if listed is None:
        return {}
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise RequestError(400, "`outputs` must be a list of objects.", "JSONError")
    wanted = {}
    for one in listed:
        name = one.get("name")
        if not isinstance(name, str):
            raise RequestError(400, "every output asked for needs a name.", "JSONError")
        parameters = _parameters(one, f"output {name!r}")
        if "classification" in parameters:
            raise RequestError(400, "classification is not offered; ask for the outputs themselves.", "InputError")
        wanted[name] = bool(parameters.get("binary_data", binary))
    return wanted


def _chosen(given: Sequence[Given], wanted: Mapping[str, bool]) -> list[Given]:
    """The outputs asked for, in the order asked; raises RequestError."""
    if not wanted:
        return list(given)
    known = {tensor.name: tensor for tensor in given}
    for name in wanted:
        if name not in known:
            raise RequestError(400, f"there is no output {name!r}; the outputs are: {', '.join(known)}.", "InputError")
    return [known[name] for name in wanted]


def _response(found: Model, request: Request, given: Sequence[Given]) -> Response:
    """The tensors in JSON, and in bytes after it where the request asks for these."""
    listed, parts = [], []
    for tensor in given:
        one: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if request.wanted.get(tensor.name, request.binary):
            parts.append(tensors.to_bytes(tensor))
            one["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            one["data"] = tensors.to_json(tensor)
        listed.append(one)
    head: dict[str, Any] = {"model_name": found.name, "model_version": VERSION, "outputs": listed}
    if request.id is not None:
        head["id"] = request.id
    if not parts:
        return to_json(head)
    text = dumped(head)
    return Response(
        b"".join((text, *parts)), headers={HEAD.decode(): str(len(text))}, media_type="application/octet-stream"
    )


def _endpoints() -> tuple[Endpoint, ...]:
    """Every path, those of a model with and without its version."""
    found = [
        Endpoint("GET", "/v2", server, said, "v2", scope="", summary="The server's name and extensions"),
        Endpoint("GET", "/v2/health/live", live, said, "v2", scope="", summary="Whether the process lives"),
        Endpoint("GET", "/v2/health/ready", ready, said, "v2", scope="", summary="Whether every model answers"),
        Endpoint("POST", "/v2/repository/index", index, said, "v2", summary="Every model and its state"),
        Endpoint("POST", "/v2/repository/models/{name}/load", load, said, "v2", "admin", "Load a model anew"),
        Endpoint("POST", "/v2/repository/models/{name}/unload", unload, said, "v2", "admin", "Unload a model"),
    ]
    for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        found += [
            Endpoint("GET", path, model, said, "v2", summary="A model's tensors"),
            Endpoint("GET", f"{path}/ready", model_ready, said, "v2", scope="", summary="Whether a model answers"),
            Endpoint("POST", f"{path}/infer", infer, said, "v2", summary="The answer to named tensors"),
        ]
    return tuple(found)


ENDPOINTS = _endpoints()
