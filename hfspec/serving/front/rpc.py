"""gRPC beside HTTP: a call's way from its method to its handler, and from any error to a status.

To the rest of the server a call is a request with metadata for headers; it is counted, logged and let in like any.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from hfspec.errors import UsageError
from hfspec.serving.fleet.values import ServerSettings, Tls
from hfspec.serving.front import keys
from hfspec.serving.front.app import App, request_id
from hfspec.serving.front.errors import INTERNAL, RequestError
from hfspec.serving.front.exchange import Exchange, LeftError

SERVED = 200
SHORTEST = 1e-3  # least seconds of a call, once it is here
# Status of HTTP -> of gRPC. A request that is too large stays so: RESOURCE_EXHAUSTED would have it sent again.
CODES = MappingProxyType(
    {
        400: grpc.StatusCode.INVALID_ARGUMENT,
        401: grpc.StatusCode.UNAUTHENTICATED,
        403: grpc.StatusCode.PERMISSION_DENIED,
        404: grpc.StatusCode.NOT_FOUND,
        413: grpc.StatusCode.INVALID_ARGUMENT,
        429: grpc.StatusCode.RESOURCE_EXHAUSTED,
        500: grpc.StatusCode.INTERNAL,
        503: grpc.StatusCode.UNAVAILABLE,
        504: grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)


@dataclass(frozen=True, slots=True)
class Method:
    """A path and its handler. ``request``: the class of its message; ``protocol``, ``scope``: as in an endpoint;
    ``part``: makes a message of a stream from an answer or an error's text, so that an error does not end the stream.
    """

    path: str
    request: Any
    handler: Callable[[Exchange, Any], Awaitable[Any]]
    protocol: str
    scope: str = "predict"
    part: Callable[[Any, str], Any] | None = None


class Call(Exchange):
    """An exchange by gRPC, whose body has been read."""

    def __init__(self, app: App, context: Any, method: Method, sent: bytes) -> None:
        headers = [(name.encode(), _bytes(value)) for name, value in context.invocation_metadata() or ()]
        scope = {"type": "http", "method": "POST", "path": method.path, "query_string": b"", "headers": headers}
        super().__init__(app, scope, _never, request_id(scope))
        self.endpoint, self.protocol = method.path, method.protocol
        self.sent, self._is_read, self._context = sent, True, context

    def seconds(self) -> float | None:
        """How long the caller waits, by its deadline or its header; raises RequestError."""
        remaining, timeout = self._context.time_remaining(), super().seconds()
        bounds = [seconds for seconds in (remaining, timeout) if seconds is not None]
        return max(min(bounds), SHORTEST) if bounds else None


class RpcServer:
    """An open address. Raises UsageError where it cannot be opened."""

    def __init__(self, settings: ServerSettings, methods: Sequence[Method]) -> None:
        limits = settings.limits
        wait = int(limits.slow_client_seconds * 1000)
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", limits.body),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_metadata_size", limits.header),
                ("grpc.absolute_max_metadata_size", limits.header),
                ("grpc.max_connection_idle_ms", wait),
                ("grpc.keepalive_time_ms", wait),
                ("grpc.keepalive_timeout_ms", wait),
            ],
            maximum_concurrent_rpcs=limits.connections,
        )
        self._methods = {method.path: method for method in methods}
        self._app: App | None = None
        self._next: Any = None
        self.address = self._open(settings)

    async def start(self, app: App) -> None:
        """Answer calls."""
        self._app = app
        self._server.add_generic_rpc_handlers((_Handlers(self._handler),))
        await self._server.start()

    def show(self, tls: Tls) -> None:
        """Show new connections the certificate as its files are now; raises OSError."""
        self._next = _certificate(tls)

    async def stop(self, grace: float) -> None:
        """Take no more calls, and end once those in flight are answered, within so many seconds."""
        await self._server.stop(grace)

    def _open(self, settings: ServerSettings) -> str:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        try:
            if settings.tls is None:
                port = self._server.add_insecure_port(f"{host}:{settings.grpc_port}")
            else:
                credentials = grpc.dynamic_ssl_server_credentials(_certificate(settings.tls), self._new_certificate)
                port = self._server.add_secure_port(f"{host}:{settings.grpc_port}", credentials)
        except (RuntimeError, OSError) as error:
            place = f"{host}:{settings.grpc_port}"
            raise UsageError(f"the server cannot listen at {place} for gRPC; choose another `grpc_port`.") from error
        return f"{host}:{port}"

    def _new_certificate(self) -> Any:
        """Give gRPC, which asks at each new connection, another certificate, or None for the same."""
        certificate, self._next = self._next, None
        return certificate

    def _handler(self, path: str) -> Any:
        """The handler for a path, as grpc takes it; None where there is none."""
        method = self._methods.get(path)
        if method is None:
            return None
        if method.part is None:
            return grpc.unary_unary_rpc_method_handler(partial(self._one, method))
        return grpc.stream_stream_rpc_method_handler(partial(self._stream, method))

    async def _one(self, method: Method, sent: bytes, context: Any) -> bytes:
        answer = await self._answered(method, sent, context)
        if isinstance(answer, RequestError):
            code = CODES.get(answer.status, grpc.StatusCode.UNKNOWN)
            await context.abort(code, answer.text, context.trailing_metadata())
        return bytes(answer.SerializeToString())

    async def _stream(self, method: Method, parts: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        """An answer to each message, in their order; an error is one of them."""
        assert method.part is not None
        async for sent in parts:
            answer = await self._answered(method, sent, context)
            is_error = isinstance(answer, RequestError)
            part = method.part(None if is_error else answer, answer.text if is_error else "")
            yield bytes(part.SerializeToString())

    async def _answered(self, method: Method, sent: bytes, context: Any) -> Any:
        """The handler's message, or the error it raises."""
        app = self._app
        assert app is not None
        call = Call(app, context, method, sent)
        answer: Any = RequestError(500, INTERNAL)  # stands where the caller has left, who does not read it
        with app.counting(call):
            try:
                answer = await self._handled(method, call)
                call.status = SERVED
            except LeftError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is becomes a status
                answer = app.refusal(error, call)
                call.status = answer.status
        more = answer.headers.items() if isinstance(answer, RequestError) else ()
        context.set_trailing_metadata((("x-request-id", call.id), *more))
        return answer

    async def _handled(self, method: Method, call: Call) -> Any:
        if method.scope:
            call.caller = keys.caller(call.app.settings.api_keys, call.headers, method.scope)
        try:
            message = method.request.FromString(call.sent)
        except DecodeError as error:
            name = method.request.DESCRIPTOR.full_name
            raise RequestError(400, f"the message is no {name}.", "MessageError") from error
        return await method.handler(call, message)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, find: Callable[[str], Any]) -> None:
        self._find = find

    def service(self, handler_call_details: Any) -> Any:
        return self._find(handler_call_details.method)


def _certificate(tls: Tls) -> Any:
    pair = (Path(tls.key).read_bytes(), Path(tls.certificate).read_bytes())
    return grpc.ssl_server_certificate_configuration([pair])


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8")


async def _never() -> MutableMapping[str, Any]:
    """Wait for ever: a caller that leaves cancels the call, without a message."""
    await asyncio.Event().wait()
    raise AssertionError
