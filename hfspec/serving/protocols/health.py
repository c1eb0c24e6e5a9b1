"""Whether the server lives and is ready, and its meters."""

from __future__ import annotations

from starlette.responses import Response

from hfspec.serving.front.app import Endpoint, plain_error
from hfspec.serving.front.errors import RequestError
from hfspec.serving.front.exchange import Exchange, to_json


async def live(_: Exchange) -> Response:
    """The process lives."""
    return to_json({"live": True})


async def ready(exchange: Exchange) -> Response:
    """Whether every model answers, and the state of each."""
    app = exchange.app
    is_ready = app.models.is_ready and not app.is_leaving
    states = {model.name: {"state": model.state.value, "reason": model.reason} for model in app.models}
    return to_json({"ready": is_ready, "models": states}, 200 if is_ready else 503)


async def metrics(exchange: Exchange) -> Response:
    """The meters, for Prometheus."""
    if not exchange.app.settings.metrics:
        raise RequestError(404, "this server has no meters.", "PathError")
    return Response(exchange.app.meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


ENDPOINTS = (
    Endpoint("GET", "/live", live, plain_error, scope="", summary="Whether the process lives"),
    Endpoint("GET", "/ready", ready, plain_error, scope="", summary="Whether every model answers"),
    Endpoint("GET", "/metrics", metrics, plain_error, scope="", summary="Meters, for Prometheus"),
)
