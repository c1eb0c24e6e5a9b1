"""Spans of OpenTelemetry: one a request, which continues the caller's trace."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hfspec import __version__
from hfspec.errors import UsageError
from hfspec.serving.fleet.values import Telemetry
from hfspec.serving.front.metrics import STAGES

if TYPE_CHECKING:
    from hfspec.serving.front.exchange import Exchange

SECONDS = 5.0  # time limit of the collector
NANOSECONDS = 1_000_000_000
FAULT = 500  # a status from which on the fault is the server's
CARRIED = ("traceparent", "tracestate")  # https://www.w3.org/TR/trace-context/


class Traces:
    """Sends spans by OTLP over HTTP, in a thread of its own. Its packages are imported when it is made."""

    def __init__(self, settings: Telemetry) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise UsageError(
                f"server.telemetry needs more packages ({error.name}): pip install 'hfspec[serve-otel]'"
            ) from error
        resource = Resource.create({"service.name": "hfspec", "service.version": __version__})
        self._provider: Any = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=settings.endpoint, timeout=SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer: Any = self._provider.get_tracer("hfspec.serving", __version__)
        self._carried: Any = TraceContextTextMapPropagator()
        self._trace: Any = trace

    def record(self, exchange: Exchange, status: int, seconds: float) -> None:
        """Record the span of a request that has ended, with its seconds by stage; it began ``seconds`` ago."""
        end = time.time_ns()
        begin = end - int(seconds * NANOSECONDS)
        context = self._carried.extract({name: _header(exchange.headers, name) for name in CARRIED})
        span = self._tracer.start_span(
            f"{exchange.method} {exchange.endpoint}".strip(),
            context,
            kind=self._trace.SpanKind.SERVER,
            attributes=_attributes(exchange, status),
            start_time=begin,
        )
        if status >= FAULT:
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))
        span.end(end)

    def close(self) -> None:
        """Send the spans that have not been sent."""
        self._provider.shutdown()


def _header(headers: Mapping[bytes, bytes], name: str) -> str:
    return headers.get(name.encode(), b"").decode("latin-1")


def _attributes(exchange: Exchange, status: int) -> dict[str, Any]:
    """A span's attributes, by OpenTelemetry's conventions for HTTP and hfspec's own; no body, key or query."""
    attributes: dict[str, Any] = {
        "http.request.method": exchange.method,
        "http.route": exchange.endpoint,
        "url.path": exchange.path,
        "http.response.status_code": status,
        "hfspec.request_id": exchange.id,
    }
    if exchange.model_name:
        attributes["hfspec.model"] = exchange.model_name
    used = exchange.used
    attributes |= {f"hfspec.{name}": used[name] for name in ("rows", "tokens") if name in used}
    attributes |= {f"hfspec.stage.{name}": used[name] for name in STAGES if name in used}  # in seconds
    return attributes
