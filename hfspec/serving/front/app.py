"""The application: a request's way from its path to its handler, and from any error to a response."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from hfspec.errors import HfspecError, PredictionError
from hfspec.serving.fleet.values import ServerSettings
from hfspec.serving.front import keys
from hfspec.serving.front.errors import INTERNAL, RequestError
from hfspec.serving.front.exchange import Exchange, LeftError, Receive, Scope, Send, to_json
from hfspec.serving.front.logs import Log
from hfspec.serving.front.metrics import Meters
from hfspec.serving.front.models import Models
from hfspec.serving.front.traces import Traces

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}\Z")
ALLOWED_HEADERS = "authorization, content-type, x-api-key, x-request-timeout"  # from pages of other sites
SHOWN = 200  # characters of a path, in an error
LEFT = 499  # nginx's status for a caller that has left
ErrorForm = Callable[[RequestError, Exchange], Response]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path and its handler. ``path``: its parts in braces vary; ``protocol``: a name of protocols.table, by which a
    model may decline it; ``error``: its form of an error; ``scope``: the scope that a key needs, empty for none.
    """

    method: str
    path: str
    handler: Callable[[Exchange], Awaitable[Response]]
    error: ErrorForm
    protocol: str = "hfspec"
    scope: str = "predict"
    summary: str = ""


def plain_error(error: RequestError, exchange: Exchange) -> Response:
    """An error in hfspec's own form."""
    fields: dict[str, Any] = {"kind": error.kind, "message": error.message}
    if error.row is not None:
        fields["row"] = error.row
    return to_json({"error": {**fields, "request_id": exchange.id}}, error.status)


class App:
    """An ASGI application over the models."""

    def __init__(
        self,
        models: Models,
        settings: ServerSettings,
        endpoints: Sequence[Endpoint],
        log: Log,
        meters: Meters,
        *,
        traces: Traces | None = None,
    ) -> None:
        self.models, self.settings, self.log, self.meters, self.traces = models, settings, log, meters, traces
        self.endpoints = tuple(endpoints)
        self.is_leaving = False
        self._fixed: dict[str, dict[str, Endpoint]] = {}
        self._varying: list[tuple[re.Pattern[str], dict[str, Endpoint]]] = []
        self._index(endpoints)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1003})
            return
        exchange = Exchange(self, scope, receive, request_id(scope))
        with self.counting(exchange):
            response = await self._response(exchange)
            exchange.status = response.status_code
            response.headers["x-request-id"] = exchange.id
            self._allow_origin(exchange, response)
            await response(scope, receive, send)

    @contextmanager
    def counting(self, exchange: Exchange) -> Iterator[None]:
        """Count the request, trace it and write its line, however it ends; a caller that has left is no error."""
        self.meters.in_flight.inc()
        try:
            yield
        except LeftError:
            exchange.status = LEFT
        except asyncio.CancelledError:
            exchange.status = exchange.status or LEFT
            raise
        finally:
            self.meters.in_flight.dec()
            self._ended(exchange)

    def refusal(self, error: Exception, exchange: Exchange) -> RequestError:
        """The refusal that the caller gets for an error; the log gets a line for a fault of the server."""
        if isinstance(error, RequestError):
            return error
        if isinstance(error, HfspecError):
            key = error.key if isinstance(error, PredictionError) else None
            return RequestError(400, str(error), type(error).__name__, key=key)
        self.log("error", f"unexpected {type(error).__name__}: {error}", request=exchange.id)
        return RequestError(500, INTERNAL, "InternalError")

    async def _response(self, exchange: Exchange) -> Response:
        """The handler's response, or a response with the error it raises."""
        form = self._form(exchange.path)
        try:
            self._check_headers(exchange)
            endpoint = self._find(exchange)
            form = endpoint.error
            exchange.endpoint, exchange.protocol = endpoint.path, endpoint.protocol
            if exchange.method == "OPTIONS":
                return Response(status_code=204, headers={"allow": self._allowed(self._methods(exchange))})
            if endpoint.scope:
                exchange.caller = keys.caller(self.settings.api_keys, exchange.headers, endpoint.scope, exchange.method)
            return await endpoint.handler(exchange)
        except LeftError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is becomes a response
            problem = self.refusal(error, exchange)
        response = form(problem, exchange)
        for name, value in problem.headers.items():
            response.headers[name] = value
        return response

    def _index(self, endpoints: Sequence[Endpoint]) -> None:
        for endpoint in endpoints:
            if "{" not in endpoint.path:
                self._fixed.setdefault(endpoint.path, {})[endpoint.method] = endpoint
                continue
            pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", endpoint.path) + r"\Z")
            for other, methods in self._varying:
                if other.pattern == pattern.pattern:
                    methods[endpoint.method] = endpoint
                    break
            else:
                self._varying.append((pattern, {endpoint.method: endpoint}))

    def _find(self, exchange: Exchange) -> Endpoint:
        """The endpoint of the path and the method; raises RequestError (404, 405)."""
        methods = self._methods(exchange)
        method = "GET" if exchange.method == "HEAD" else exchange.method
        if method == "OPTIONS":
            return next(iter(methods.values()))
        if method not in methods:
            allowed = self._allowed(methods)
            raise RequestError(405, f"{exchange.path} takes {allowed}.", "MethodError", headers={"allow": allowed})
        return methods[method]

    def _methods(self, exchange: Exchange) -> Mapping[str, Endpoint]:
        """The endpoints of the path, with or without a slash at its end; raises RequestError."""
        path = exchange.path if len(exchange.path) == 1 else exchange.path.removesuffix("/")
        if (methods := self._fixed.get(path)) is not None:
            return methods
        for pattern, candidates in self._varying:
            if match := pattern.match(path):
                exchange.names = match.groupdict()
                return candidates
        message = f"there is nothing at {exchange.path[:SHOWN]}; /openapi.json lists what there is."
        raise RequestError(404, message, "PathError")

    @staticmethod
    def _allowed(methods: Mapping[str, Endpoint]) -> str:
        return ", ".join(sorted(methods))

    def _form(self, path: str) -> ErrorForm:
        """The form of errors of the endpoint whose path begins as this one does for longest."""
        parts = _segments(path)

        def nearness(endpoint: Endpoint) -> tuple[int, int]:
            own = _segments(endpoint.path)
            pairs = list(zip(own, parts, strict=False))
            shared = next((place for place, (one, other) in enumerate(pairs) if one != other), len(pairs))
            return (shared, -len(own))

        nearest = max(self.endpoints, key=nearness)
        return nearest.error if nearness(nearest)[0] else plain_error

    def _check_headers(self, exchange: Exchange) -> None:
        scope = exchange.scope
        size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        size += sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        if size > self.settings.limits.header:
            raise RequestError(431, "the address and the headers are larger than this server takes.", "TooLargeError")

    def _allow_origin(self, exchange: Exchange, response: Response) -> None:
        """Add the headers by which a browser lets a page of another site call."""
        origin, allowed = exchange.headers.get(b"origin", b"").decode("latin-1"), self.settings.cors.origins
        if not origin or not (origin in allowed or "*" in allowed):
            return
        response.headers["access-control-allow-origin"] = origin
        response.headers["vary"] = "origin"
        if exchange.method == "OPTIONS":
            response.headers["access-control-allow-methods"] = "GET, POST"
            response.headers["access-control-allow-headers"] = ALLOWED_HEADERS
            response.headers["access-control-max-age"] = "600"

    def _ended(self, exchange: Exchange) -> None:
        status, seconds = exchange.status, time.monotonic() - exchange.begun
        self.meters.count(exchange.model_name, exchange.endpoint, status, seconds)
        if self.traces is not None:
            self.traces.record(exchange, status, seconds)
        if not self.settings.logs.access:
            return
        facts = {"status": status, "seconds": seconds, "model": exchange.model_name, "request": exchange.id}
        if exchange.caller:
            facts["key"] = exchange.caller
        if self.settings.logs.bodies:
            facts["body"] = exchange.sent[:10_000].decode("utf-8", "replace")
        self.log("info", f"{exchange.method} {exchange.path}", **facts)


def _segments(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def request_id(scope: Scope) -> str:
    """The caller's own id, where it is a plain one; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.match(value):
            return str(value.decode("ascii"))
    return uuid.uuid4().hex
