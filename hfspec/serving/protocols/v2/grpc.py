"""The Open Inference Protocol, version 2, over gRPC, with Triton's repository, configuration, statistics and stream of
requests. open_inference.proto says where its messages are published.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from google.protobuf.json_format import ParseDict

from hfspec.serving.front.errors import RequestError
from hfspec.serving.front.exchange import Exchange
from hfspec.serving.front.rpc import Method
from hfspec.serving.protocols.v2 import facts, messages, requests, tensors
from hfspec.serving.protocols.v2.requests import Head
from hfspec.serving.protocols.v2.tensors import Given

MESSAGES = MappingProxyType(messages.read())
# Datatype -> the field of its values; FP16 has none, and comes in bytes alone.
CONTENTS = MappingProxyType(
    {
        "BOOL": "bool_contents",
        **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
        "INT64": "int64_contents",
        **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
        "UINT64": "uint64_contents",
        "FP32": "fp32_contents",
        "FP64": "fp64_contents",
        "BYTES": "bytes_contents",
    }
)


async def live(_: Exchange, __: Any) -> Any:
    """The process lives."""
    return _made("ServerLiveResponse", {"live": True})


async def ready(exchange: Exchange, _: Any) -> Any:
    """Whether every model answers."""
    return _made("ServerReadyResponse", {"ready": facts.is_ready(exchange.app)})


async def model_ready(exchange: Exchange, message: Any) -> Any:
    """Whether a model answers."""
    return _made("ModelReadyResponse", {"ready": facts.find(exchange, message.name, message.version).is_ready})


async def server(_: Exchange, __: Any) -> Any:
    """The server's name, version and extensions."""
    return _made("ServerMetadataResponse", facts.server())


async def metadata(exchange: Exchange, message: Any) -> Any:
    """A model's tensors."""
    return _made("ModelMetadataResponse", facts.metadata(facts.find(exchange, message.name, message.version)))


async def config(exchange: Exchange, message: Any) -> Any:
    """A model's tensors in Triton's configuration."""
    return _made("ModelConfigResponse", {"config": facts.config(facts.find(exchange, message.name, message.version))})


async def statistics(exchange: Exchange, message: Any) -> Any:
    """The statistics of a model, or of every model."""
    models = [facts.find(exchange, message.name, message.version)] if message.name else exchange.offered()
    return _made("ModelStatisticsResponse", facts.statistics(exchange.app, models))


async def infer(exchange: Exchange, message: Any) -> Any:
    """The answer to rows, which are named tensors, as named tensors."""
    model = facts.find(exchange, message.model_name, message.model_version)
    request = requests.read(_head(message), model, lambda head: _tensor(message, head))
    outputs = await requests.answered(exchange, model, request)
    answer = MESSAGES["ModelInferResponse"](model_name=model.name, model_version=facts.VERSION, id=message.id)
    in_bytes = bool(message.raw_input_contents) or any(tensor.datatype not in CONTENTS for tensor in outputs)
    for tensor in outputs:
        output = answer.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if in_bytes:
            answer.raw_output_contents.append(tensors.to_bytes(tensor))
        else:
            values = tensor.values if tensor.datatype == tensors.BYTES else np.ravel(tensor.values).tolist()
            getattr(output.contents, CONTENTS[tensor.datatype]).extend(values)
    return answer


async def index(exchange: Exchange, message: Any) -> Any:
    """Every model that the server knows, and its state."""
    return _made("RepositoryIndexResponse", {"models": facts.index(exchange.app, only_ready=message.ready)})


async def load(exchange: Exchange, message: Any) -> Any:
    """Read the model's entry and its artifact anew, and let it answer; a bad one leaves what answered before."""
    await facts.load(exchange.app, message.model_name, message.parameters)
    return _made("RepositoryModelLoadResponse", {})


async def unload(exchange: Exchange, message: Any) -> Any:
    """Let the model answer no more, once the requests in flight have been answered."""
    await facts.unload(exchange.app, message.model_name)
    return _made("RepositoryModelUnloadResponse", {})


def _made(name: str, fields: Mapping[str, Any]) -> Any:
    """The message of this name; fields that it does not have are left out."""
    return ParseDict(dict(fields), MESSAGES[name](), ignore_unknown_fields=True)


def _head(message: Any) -> dict[str, Any]:
    """The request in the form of REST, without the values of its tensors."""
    inputs = [
        {"name": one.name, "datatype": one.datatype, "shape": list(one.shape), "parameters": _parameters(one)}
        for one in message.inputs
    ]
    outputs = [{"name": one.name, "parameters": _parameters(one)} for one in message.outputs]
    return {"id": message.id, "inputs": inputs, "outputs": outputs or None, "parameters": _parameters(message)}


def _parameters(holder: Any) -> dict[str, Any]:
    return {name: _parameter(name, value) for name, value in holder.parameters.items()}


def _parameter(name: str, value: Any) -> Any:
    kind = value.WhichOneof("parameter_choice")
    if kind is None:
        raise RequestError(400, f"the parameter {name!r} has no value.", "InputError")
    return getattr(value, kind)


def _tensor(message: Any, head: Head) -> Given:
    """The tensor with its values, which stand in the field of its datatype or in bytes; raises RequestError."""
    contents = message.inputs[head.place].contents
    fields = [field.name for field, _ in contents.ListFields()]
    if message.raw_input_contents:
        if fields or len(message.raw_input_contents) != len(message.inputs):
            raise tensors.fault(head.name, "raw_input_contents must have the bytes of every input, and no other values")
        return tensors.from_bytes(head.name, head.datatype, head.shape, message.raw_input_contents[head.place])
    field = CONTENTS.get(head.datatype)
    if field is None or any(other != field for other in fields):
        raise tensors.fault(head.name, f"the values of {head.datatype} stand in {field or 'raw_input_contents'}")
    return tensors.from_values(head.name, head.datatype, head.shape, list(getattr(contents, field)))


def _streamed(answer: Any, error: str) -> Any:
    return MESSAGES["ModelStreamInferResponse"](error_message=error, infer_response=answer)


def _method(name: str, handler: Callable[[Exchange, Any], Awaitable[Any]], scope: str = "predict") -> Method:
    return Method(f"/{messages.SERVICE}/{name}", MESSAGES[f"{name}Request"], handler, "v2", scope)


METHODS = (
    _method("ServerLive", live, scope=""),
    _method("ServerReady", ready, scope=""),
    _method("ModelReady", model_ready, scope=""),
    _method("ServerMetadata", server, scope=""),
    _method("ModelMetadata", metadata),
    _method("ModelConfig", config),
    _method("ModelStatistics", statistics),
    _method("ModelInfer", infer),
    Method(f"/{messages.SERVICE}/ModelStreamInfer", MESSAGES["ModelInferRequest"], infer, "v2", part=_streamed),
    _method("RepositoryIndex", index),
    _method("RepositoryModelLoad", load, scope="admin"),
    _method("RepositoryModelUnload", unload, scope="admin"),
)
