"""A request for inference and its answer, by the rules that REST and gRPC share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hfspec.ir.artifact import FULL, STANDARD
from hfspec.serving.front.errors import RequestError, too_many_rows
from hfspec.serving.front.exchange import Exchange
from hfspec.serving.front.model import Model
from hfspec.serving.protocols.v2 import tensors
from hfspec.serving.protocols.v2.tensors import Given

OWN = frozenset({"binary_data_output", "outputs", "timeout", "priority"})  # parameters that are not predict's
MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True)
class Head:
    """A tensor of a request without its values. ``place``: its index among the inputs."""

    place: int
    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """``wanted``: output -> whether in bytes; empty for all outputs, which are in bytes where ``binary`` is true."""

    id: str | None
    given: tuple[Given, ...]
    wanted: Mapping[str, bool]
    params: Mapping[str, Any]
    binary: bool = False
    outputs: str = STANDARD
    seconds: float | None = None


def read(head: Mapping[str, Any], model: Model, values: Callable[[Head], Given]) -> Request:
    """The request of a ``head`` that lacks the values of its tensors; ``values`` reads them one after another.

    Raises RequestError.
    """
    inputs = tuple(map(values, _heads(head.get("inputs"), model.entry.limits.rows)))
    options = parameters(head, "the request")
    return Request(
        _id(head),
        inputs,
        _wanted(head.get("outputs"), bool(options.get("binary_data_output"))),
        {name: value for name, value in options.items() if name not in OWN},
        bool(options.get("binary_data_output")),
        str(options.get("outputs", STANDARD)),
        _seconds(options.get("timeout")),
    )


async def answered(exchange: Exchange, model: Model, request: Request) -> list[Given]:
    """The outputs that the request asks for; raises RequestError, LeftError."""
    signature = model.manifest.signature
    rows = tensors.rows(request.given, tensors.inputs(signature))
    asking = exchange.asking(rows, len(rows), request.params or None, request.outputs)
    if request.seconds is not None:
        asking = replace(asking, seconds=min(request.seconds, asking.seconds or request.seconds))
    answer = await exchange.answer(model, asking)
    if request.outputs == FULL:
        return _chosen(tensors.full_answer(answer), request.wanted)
    return _chosen(tensors.of_answer(answer, tensors.outputs(signature)), request.wanted)


def parameters(holder: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    """The parameters of a request, an input or an output; raises RequestError."""
    value = holder.get("parameters")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RequestError(400, f"`parameters` of {what} must be an object.", "JSONError")
    return value


def _id(head: Mapping[str, Any]) -> str | None:
    value = head.get("id")
    if value is not None and not isinstance(value, str):
        raise RequestError(400, "`id` must be a text.", "JSONError")
    return value


def _seconds(timeout: Any) -> float | None:
    """How long the caller waits, from its microseconds."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0:
        raise RequestError(400, "`timeout` must be a number of microseconds above 0.", "InputError")
    return float(timeout) / MICROSECONDS


def _heads(entries: Any, most: int) -> list[Head]:
    """The tensors without their values, of at most so many rows; raises RequestError."""
    if not isinstance(entries, list) or not entries or not all(isinstance(one, dict) for one in entries):
        raise RequestError(400, "`inputs` must be a list of tensors: name, shape, datatype and data.", "JSONError")
    heads = [_head(place, one) for place, one in enumerate(entries)]
    for head in heads:
        if head.shape[0] > most:
            raise too_many_rows(head.shape[0], most)
    return heads


def _head(place: int, one: Mapping[str, Any]) -> Head:
    name, datatype, shape = one.get("name"), one.get("datatype"), one.get("shape")
    if not isinstance(name, str):
        raise RequestError(400, "every input needs a name.", "InputError")
    if datatype != tensors.BYTES and (not isinstance(datatype, str) or datatype not in tensors.NUMBERS):
        datatypes = ", ".join((tensors.BYTES, *tensors.NUMBERS))
        raise RequestError(400, f"input {name!r}: the datatype must be one of {datatypes}.", "InputError")
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size >= 0 for size in shape):
        raise RequestError(400, f"input {name!r}: the shape must be a list of numbers from 0.", "InputError")
    return Head(place, name, datatype, tuple(shape))


def _wanted(entries: Any, binary: bool) -> Mapping[str, bool]:  # noqa: FBT001 - the request's own
    """The requested outputs, each with whether it comes in bytes; raises RequestError."""
    if entries is None:
        return {}
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise RequestError(400, "`outputs` must be a list of objects.", "JSONError")
    outputs = {}
    for one in entries:
        name = one.get("name")
        if not isinstance(name, str):
            raise RequestError(400, "every output asked for needs a name.", "JSONError")
        options = parameters(one, f"output {name!r}")
        if "classification" in options:
            raise RequestError(400, "classification is not offered; ask for the outputs themselves.", "InputError")
        outputs[name] = bool(options.get("binary_data", binary))
    return outputs


def _chosen(outputs: Sequence[Given], names: Mapping[str, bool]) -> list[Given]:
    """The requested outputs, in the request's order; raises RequestError."""
    if not names:
        return list(outputs)
    by_name = {tensor.name: tensor for tensor in outputs}
    for name in names:
        if name not in by_name:
            raise RequestError(
                400, f"there is no output {name!r}; the outputs are: {', '.join(by_name)}.", "InputError"
            )
    return [by_name[name] for name in names]
