"""One replica as an actor of Ray Serve: it keeps a process that has the model, as the HTTP process of one machine does.

What is asked and answered travels as msgpack, as between processes of one machine; errors are part of an answer.
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

FAILED = "hfspec-failed:"  # before what was said of an artifact that cannot be loaded, in JSON
LOOK = 0.25  # seconds between two looks at the process
TOLD = 5.0  # seconds in which the process must end once it has nothing to do


class ModelActor:
    """``step_seconds``, ``memory``: the limits of the fleet beyond which the replica is given up."""

    def __init__(self, step_seconds: float, memory: int | None) -> None:
        self._number = uuid.uuid4().hex
        self._step_seconds, self._memory = step_seconds, memory
        self._replica: Replica
        self._watching: asyncio.Task[None] | None = None

    async def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Load what the config says, once: Ray Serve calls it before any request. Raises RuntimeError."""
        self._replica = await Replica.start(user_config)
        try:
            await self._replica.ready
        except FailedError as error:
            raise RuntimeError(f"{FAILED}{json.dumps(str(error))}") from error
        self._watching = asyncio.create_task(self._watch())

    async def answer(self, asked: bytes) -> bytes:
        """The whole answer, and what it took; or the error."""
        try:
            value, used = await self._replica.answer(wire.content(asked)[0])
            return wire.body(wire.ANSWER, value, used)
        except RequestError as error:
            return wire.body(wire.ERROR, asdict(error))

    async def pieces(self, asked: bytes) -> AsyncIterator[bytes]:
        """The pieces of an answer, then what it took; or the error."""
        ask, form = wire.content(asked)
        try:
            async for piece in self._replica.pieces(ask, Form(form)):
                yield wire.body(wire.PIECE, piece)
        except RequestError as error:
            yield wire.body(wire.ERROR, asdict(error))

    async def said(self) -> dict[str, Any]:
        """Which replica it is, and what its process said of itself, when it was ready and last."""
        return {"number": self._number, "facts": self._replica.facts, "beat": self._replica.beat}

    async def check_health(self) -> None:
        """Raises RuntimeError where Ray Serve should replace the replica."""
        if self._memory is not None and self._replica.beat.get("memory", 0) > self._memory:
            raise RuntimeError(f"the replica holds more than {self._memory} bytes")

    async def __del__(self) -> None:
        """Ray Serve ends the replica, whose work is done."""
        if self._watching is not None:
            self._watching.cancel()
            await self._replica.stop(TOLD)

    async def _watch(self) -> None:
        """End the actor with its process, so that nobody asks it any more; one that stands still is ended."""
        loop = asyncio.get_running_loop()
        while not self._replica.gone.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._replica.gone.wait(), LOOK)
            silent = loop.time() - self._replica.last_beat
            if max(silent, self._replica.beat.get("step", 0.0)) > self._step_seconds:
                self._replica.kill()
        os._exit(1)
