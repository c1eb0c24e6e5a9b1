"""A connection of uvicorn that is closed when it is idle, or sends its headers too slowly."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hfspec.serving.fleet.values import ServerLimits

RESPONSE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_OPEN: set[Any] = set()


class Connection(HttpToolsProtocol):
    """``limits``: the server's. Where there are too many connections, an idle one is closed first."""

    limits: ClassVar[ServerLimits] = ServerLimits()

    @classmethod
    def with_limits(cls, limits: ServerLimits) -> type[Connection]:
        """The class for a server with these limits."""
        return type("LimitedConnection", (cls,), {"limits": limits})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head = 0  # bytes of a head that is not whole
        self._waiting: asyncio.TimerHandle | None = None
        if len(_OPEN) >= self.limits.connections:
            idle = next((other for other in _OPEN if other.is_idle), None)
            (idle or self).transport.close()
        _OPEN.add(self)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        _OPEN.discard(self)
        self._stop_waiting()
        super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        super().data_received(data)
        if self._waiting is not None and self._head > self.limits.header:
            self._refuse()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing() and self._waiting is None and self.is_idle:
            self._wait()

    def _wait(self) -> None:
        """Close the connection where no whole head comes in time."""
        self._head = 0
        self._waiting = self.loop.call_later(self.limits.slow_client_seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _refuse(self) -> None:
        self.transport.write(RESPONSE)
        self.transport.close()
