"""The protocol's facts of the server and its models, in the fields that its REST and its gRPC share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hfspec import __version__
from hfspec.serving.front.app import App
from hfspec.serving.front.errors import RequestError
from hfspec.serving.front.exchange import Exchange
from hfspec.serving.front.generation import State
from hfspec.serving.front.metrics import total
from hfspec.serving.front.model import Model
from hfspec.serving.protocols.v2 import tensors
from hfspec.serving.protocols.v2.tensors import Described

VERSION = "1"  # the version of every model: the artifact that answers under its name
EXTENSIONS = ("binary_tensor_data", "model_repository", "model_configuration", "statistics")
STATES = {State.READY: "READY", State.LOADING: "LOADING"}
# Stage of a request -> Triton's name of it.
STAGES = {"queue": "queue", "tokenise": "compute_input", "model": "compute_infer", "write": "compute_output"}
NANOSECONDS = 1e9


def find(exchange: Exchange, name: str, version: str = "") -> Model:
    """The loaded model of this name, in its only version; raises RequestError."""
    model = exchange.model(name)
    if version not in ("", VERSION):
        raise RequestError(404, f"{model.name} has no version {version!r}; it has: {VERSION}.", "ModelError")
    assert model.manifest is not None  # refuses a model that is not loaded
    return model


def server() -> dict[str, Any]:
    """The server's name, version and extensions."""
    return {"name": "hfspec", "version": __version__, "extensions": list(EXTENSIONS)}


def is_ready(app: App) -> bool:
    """Whether every model answers."""
    return app.models.is_ready and not app.is_leaving


def metadata(model: Model) -> dict[str, Any]:
    """A model's tensors."""
    manifest = model.manifest
    return {
        "name": model.name,
        "versions": [VERSION],
        "platform": _platform(model),
        "inputs": [tensor.to_json() for tensor in tensors.inputs(manifest.signature)],
        "outputs": [tensor.to_json() for tensor in tensors.outputs(manifest.signature)],
        "parameters": {"task": manifest.deployment.task, "digest": manifest.digest},
    }


def config(model: Model) -> dict[str, Any]:
    """A model's tensors in Triton's configuration. The size of a batch is 0: shapes begin with the rows."""
    signature = model.manifest.signature
    inputs = [{**_configured(tensor), "optional": not tensor.required} for tensor in tensors.inputs(signature)]
    return {
        "name": model.name,
        "platform": _platform(model),
        "backend": "hfspec",
        "max_batch_size": 0,
        "input": inputs,
        "output": [_configured(tensor) for tensor in tensors.outputs(signature)],
    }


def statistics(app: App, models: Iterable[Model]) -> dict[str, Any]:
    """The statistics of each model, in Triton's fields."""
    return {"model_stats": [_statistics(app, model) for model in models]}


def index(app: App, *, only_ready: bool) -> list[dict[str, Any]]:
    """Every model that the server knows, and its state."""
    return [
        {
            "name": model.name,
            "version": VERSION,
            "state": STATES.get(model.state, "UNAVAILABLE"),
            "reason": model.reason or ("unloaded" if model.state is State.UNLOADED else ""),
        }
        for model in app.models
        if not only_ready or model.is_ready
    ]


async def load(app: App, name: str, parameters: Any) -> None:
    """Read the model's entry and its artifact anew, and let it answer; a bad one leaves what answered before."""
    if parameters:
        raise RequestError(400, "a model is loaded as the fleet file says; parameters are not taken.", "InputError")
    await app.models.load_again(name, app.settings.grace)


async def unload(app: App, name: str) -> None:
    """Let the model answer no more, once the requests in flight have been answered."""
    await app.models.find(name).unload(app.settings.grace)


def _platform(model: Model) -> str:
    return f"hfspec_{model.manifest.deployment.library}"


def _configured(tensor: Described) -> dict[str, Any]:
    kind = "STRING" if tensor.datatype == tensors.BYTES else tensor.datatype
    return {"name": tensor.name, "data_type": f"TYPE_{kind}", "dims": list(tensor.shape)}


def _statistics(app: App, model: Model) -> dict[str, Any]:
    meters = app.meters
    stages = {name: meters.stage(model.name, stage) for stage, name in STAGES.items()}
    spent = {name: {"count": count, "ns": round(seconds * NANOSECONDS)} for name, (count, seconds) in stages.items()}
    success = {"count": spent["queue"]["count"], "ns": sum(part["ns"] for part in spent.values())}
    return {
        "name": model.name,
        "version": VERSION,
        "last_inference": round(meters.last.get(model.name, 0.0) * 1000),
        "inference_count": total(model, "rows"),
        "execution_count": total(model, "batches"),
        "inference_stats": {"success": success, "fail": {"count": meters.failed(model.name), "ns": 0}, **spent},
    }
