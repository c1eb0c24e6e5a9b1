"""One replica as an actor of Ray Serve: it keeps a process that has the model, as the HTTP process of one machine does.

Requests and answers travel as msgpack, as between processes of one machine; errors are part of an answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from hfspec.serving.front.errors import RequestError
from hfspec.serving.front.generation import FailedError
from hfspec.serving.front.replica import Replica
from hfspec.serving.replica import wire
from hfspec.serving.replica.job import Form

FAILED = "hfspec-failed:"  # stands before the error of an artifact that cannot be loaded, in JSON
LOOK = 0.25  # seconds between two looks at the process
TOLD = 5.0  # seconds in which the process must end once it has nothing to do


class ModelActor:
    """``step_seconds``, ``memory``: limits from the fleet; a replica beyond them is given up."""

    def __init__(self, step_seconds: float, memory: int | None) -> None:
        self._number = uuid.uuid4().hex
        self._step_seconds, self._memory = step_seconds, memory
        self._replica: Replica
        self._watching: asyncio.Task[None] | None = None

    async def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Load the config's artifact, once: Ray Serve calls this before any request. Raises RuntimeError."""
        self._replica = await Replica.start(user_config)
        try:
            await self._replica.ready
        except FailedError as error:
            raise RuntimeError(f"{FAILED}{json.dumps(str(error))}") from error
        self._watching = asyncio.create_task(self._watch())

    async def answer(self, request: bytes) -> bytes:
        """The whole answer and its cost, or the error."""
        try:
            value, used = await self._replica.answer(wire.content(request)[0])
            return wire.body(wire.ANSWER, value, used)
        except RequestError as error:
            return wire.body(wire.ERROR, asdict(error))

    async def pieces(self, request: bytes) -> AsyncIterator[bytes]:
        """The pieces of an answer, then its cost; or the error."""
        ask, form = wire.content(request)
        try:
            async for piece in self._replica.pieces(ask, Form(form)):
                yield wire.body(wire.PIECE, piece)
        except RequestError as error:
            yield wire.body(wire.ERROR, asdict(error))

    async def said(self) -> dict[str, Any]:
        """The replica's number, its process's report when it became ready, and the latest one."""
        return {"number": self._number, "facts": self._replica.facts, "beat": self._replica.beat}

    async def check_health(self) -> None:
        """Raises RuntimeError where Ray Serve should replace the replica."""
        if self._memory is not None and self._replica.beat.get("memory", 0) > self._memory:
            raise RuntimeError(f"the replica holds more than {self._memory} bytes")

    async def __del__(self) -> None:
        """Ray Serve calls this to end the replica, once its work is done."""
        if self._watching is not None:
            self._watching.cancel()
            await self._replica.stop(TOLD)

    async def _watch(self) -> None:
        """End the actor with its process, so that no request comes to it; end a process that stands still."""
        loop = asyncio.get_running_loop()
        while not self._replica.gone.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._replica.gone.wait(), LOOK)
            silent = loop.time() - self._replica.last_beat
            if max(silent, self._replica.beat.get("step", 0.0)) > self._step_seconds:
                self._replica.kill()
        os._exit(1)
