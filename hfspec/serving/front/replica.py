"""One replica as the HTTP process sees it: a child process at the other end of a socket."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from itertools import count
from typing import Any

from hfspec.serving.fleet.values import FleetModel
from hfspec.serving.front.errors import of_replica
from hfspec.serving.front.generation import DiedError, FailedError
from hfspec.serving.replica import wire
from hfspec.serving.replica.job import Form

MODULE = "hfspec.serving.replica"
_NUMBERS = count(1)


def config_of(entry: FleetModel, threads: int) -> dict[str, Any]:
    """The message that tells a replica of an entry what to load, and how."""
    return {
        "artifact": entry.artifact,
        "model_config": dict(entry.inference) or None,
        "sources": dict(entry.sources) or None,
        **{name: getattr(entry, name) for name in ("dtype", "device", "backend", "expect_fingerprint")},
        "threads": threads,
        "trust_remote_code": entry.trust_remote_code,
        "keep_memory": True,
        "prefix_cache": entry.limits.prefix_cache,
        "bounds": {
            "audio_max_seconds": entry.limits.audio_seconds,
            "image_max_pixels": entry.limits.image_pixels,
        },
    }


class _Pending:
    """The caller that waits for a request's frames: a future for a whole answer, a queue for pieces."""

    def __init__(self, loop: asyncio.AbstractEventLoop, form: Form) -> None:
        self.future: asyncio.Future[tuple[Any, dict[str, Any]]] = loop.create_future()
        self.pieces: asyncio.Queue[Any] | None = None if form is Form.WHOLE else asyncio.Queue()

    def end(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # marked as retrieved: perhaps nobody waits any more
        if self.pieces is not None:
            self.pieces.put_nowait(None)


class Replica(asyncio.Protocol):
    """A started process. ``facts``: its report when it became ready; ``beat``: its latest one."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.number = next(_NUMBERS)
        self.started = time.monotonic()
        self.facts: dict[str, Any] = {}
        self.beat: dict[str, Any] = {}
        self.last_beat = time.monotonic()
        self.is_ready = False
        self.is_leaving = False
        self.loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self.loop.create_future()
        self.gone = asyncio.Event()
        self._keys = count(1)
        self._frames = wire.Frames()
        self._waiting: dict[int, _Pending] = {}
        self._transport: asyncio.WriteTransport | None = None

    @classmethod
    async def start(cls, config: Mapping[str, Any]) -> Replica:
        """Start a process that loads the config's artifact; it is not ready yet."""
        environment = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(config["threads"])}
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C at the terminal is for the server, which ends its replicas
            )
        replica = cls(process)
        ours.setblocking(False)
        await replica.loop.create_connection(lambda: replica, sock=ours)
        replica.send(wire.CONFIG, dict(config))
        return replica

    @property
    def load(self) -> int:
        """How many requests wait for it."""
        return len(self._waiting)

    def send(self, kind: str, *values: Any) -> None:
        """Send a frame; raises InputError for a value that cannot be passed on, DiedError where the process is gone."""
        if self._transport is None or self._transport.is_closing():
            raise DiedError
        self._transport.write(wire.frame(kind, *values))

    async def answer(self, ask: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The whole answer, and its cost; raises RequestError, DiedError. Ends the request when it is cancelled."""
        key, pending = self._ask(ask, Form.WHOLE)
        try:
            return await pending.future
        finally:
            self._end(key, pending)

    async def pieces(self, ask: Mapping[str, Any], form: Form) -> AsyncIterator[Any]:
        """The pieces of an answer as they come, then its cost; raises the same."""
        key, pending = self._ask(ask, form)
        assert pending.pieces is not None
        try:
            while (piece := await pending.pieces.get()) is not None:
                yield piece
            yield (await pending.future)[1]
        finally:
            self._end(key, pending)

    def kill(self) -> None:
        """End the process at once."""
        with suppress(ProcessLookupError):
            self.process.kill()

    async def stop(self, seconds: float) -> None:
        """Let it finish its work within so many seconds, then end it; at once while it loads."""
        self.is_leaving = True
        if self.is_ready:
            with suppress(DiedError):
                self.send(wire.STOP)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.gone.wait(), seconds)
        self.kill()
        await asyncio.to_thread(self.process.wait)
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        for kind, *values in self._frames.feed(data):
            self._heard(kind, values)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_ready = False
        if not self.ready.done():
            self.ready.set_exception(DiedError())
            self.ready.exception()
        for pending in list(self._waiting.values()):
            pending.end(DiedError())
        self.gone.set()

    def _ask(self, ask: Mapping[str, Any], form: Form) -> tuple[int, _Pending]:
        key, pending = next(self._keys), _Pending(self.loop, form)
        self.send(wire.ASK, key, {**ask, "form": form.value})
        self._waiting[key] = pending
        return key, pending

    def _end(self, key: int, pending: _Pending) -> None:
        self._waiting.pop(key, None)
        if not pending.future.done():
            pending.future.cancel()
            with suppress(DiedError):
                self.send(wire.CANCEL, key)

    def _heard(self, kind: str, values: list[Any]) -> None:
        if kind == wire.BEAT:
            self.beat, self.last_beat = values[0], time.monotonic()
        elif kind == wire.READY:
            self.facts, self.is_ready, self.last_beat = values[0], True, time.monotonic()
            self.ready.set_result(None)
        elif kind == wire.FAILED:
            self.ready.set_exception(FailedError(values[1]))
            self.ready.exception()
        else:
            self._answered(kind, *values)

    def _answered(self, kind: str, key: int, *values: Any) -> None:
        pending = self._waiting.get(key)
        if pending is None or pending.future.done():
            return
        if kind == wire.PIECE:
            assert pending.pieces is not None
            pending.pieces.put_nowait(values[0])
        elif kind == wire.ANSWER:
            pending.future.set_result((values[0], values[1]))
            if pending.pieces is not None:
                pending.pieces.put_nowait(None)
        else:
            pending.end(of_replica(*values))
