"""One served model: the generation of replicas that answers, and the requests that are passed on to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfspec.errors import HfspecError
from hfspec.ir.artifact import Manifest
from hfspec.serving.fleet.values import FleetModel
from hfspec.serving.front.admission import Admission, Load
from hfspec.serving.front.errors import RequestError, unavailable
from hfspec.serving.front.generation import DiedError, Engine, FailedError, Generation, Log, Receiver, State, Totals
from hfspec.serving.replica.job import EXPIRED, Form
from hfspec.tasks import endpoints
from hfspec.tasks.table import canonical

TRIES = 2


@dataclass(frozen=True, slots=True)
class Asking:
    """A request to a model. ``load``: its rows and bytes; ``seconds``: how long its caller waits; ``task``: the task
    whose request form the data have, None for the model's own; ``settings``: the settings that the protocol has keys
    for.
    """

    data: Any
    load: Load
    params: Mapping[str, Any] | None = None
    outputs: str | None = None
    seconds: float | None = None
    task: str | None = None
    settings: Mapping[str, Any] | None = None


class Model:
    """A model under its names. ``entry``: its present entry in the fleet."""

    def __init__(self, entry: FleetModel, log: Log, engine: Engine) -> None:
        self.entry = entry
        self.admission = Admission(entry.limits)
        self.totals = Totals()
        self._log, self._engine = log, engine
        self._changing = asyncio.Lock()
        self._now: Generation | None = None
        self._later: set[asyncio.Task[None]] = set()
        self._refusal = ""

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def generation(self) -> Generation | None:
        """The replicas that answer; None when the model is unloaded."""
        return self._now

    @property
    def manifest(self) -> Manifest:
        """The artifact's manifest; raises RequestError when the model is unloaded."""
        if self._now is None:
            raise unavailable(f"the model {self.name!r} is not loaded.")
        return self._now.manifest

    @property
    def task(self) -> str:
        """The canonical name of its task; raises RequestError when the model is unloaded."""
        deployment = self.manifest.deployment
        return canonical(deployment.library, deployment.task)

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that offer the model: its entry's, or all that fit its task."""
        if self.entry.endpoints is not None:
            return self.entry.endpoints
        return endpoints.fitting(self.manifest.deployment.library, self.task)

    @property
    def state(self) -> State:
        return State.UNLOADED if self._now is None else self._now.state

    @property
    def reason(self) -> str:
        """Why the model is not ready, or why its last load left the artifact before it, where that is known."""
        return (self._now.reason if self._now is not None else "") or self._refusal

    @property
    def is_ready(self) -> bool:
        """Whether a request would be answered now."""
        return self._now is not None and self._now.choose() is not None

    async def start(self, threads: int) -> None:
        """Load the model for the first time, and wait until it is ready; raises FailedError."""
        await asyncio.to_thread(_check_signature, self.entry)
        self._now = self._generation(self.entry, threads)
        self._now.start()
        await self._now.ready()

    async def replace(self, entry: FleetModel, threads: int, grace: float) -> None:
        """Load another artifact beside the one that answers, switch to it, and let the old one end its work.

        Args:
            entry: What the fleet says of the model now.
            threads: Threads of each replica.
            grace: Seconds that the old one has to end its work.

        Raises:
            FailedError: The new one is not as it should be; the old one goes on.
        """
        async with self._changing:
            try:
                new = await self._loaded(entry, threads)
            except FailedError as error:
                self._refusal = f"not loaded{', the old one goes on' if self._now else ''}: {error}"
                raise
            old, self._now, self.entry, self._refusal = self._now, new, entry, ""
            self.admission.limits = entry.limits
            if old is not None:
                task = asyncio.create_task(old.stop(grace))
                self._later.add(task)
                task.add_done_callback(self._later.discard)

    async def unload(self, grace: float) -> None:
        """Answer no more, and end the replicas once their work is done."""
        async with self._changing:
            old, self._now = self._now, None
            if old is not None:
                await old.stop(grace)
            await asyncio.gather(*self._later)

    async def answer(self, asking: Asking) -> tuple[Any, dict[str, Any]]:
        """The answer to all rows, and its cost; raises RequestError."""
        self.admission.take(asking.load)
        start = time.monotonic()
        seconds = min(asking.seconds or self.entry.limits.timeout, self.entry.limits.timeout)
        try:
            async with asyncio.timeout(seconds + 1):  # the replica refuses first, if it can
                value, used = await self._tried(asking, start + seconds)
        except TimeoutError as error:
            raise RequestError(504, EXPIRED, "ExpiredError") from error
        finally:
            self.admission.give_back(asking.load)
        self.admission.measured(asking.load, used["tokens"])
        return value, used

    async def pieces(self, asking: Asking, form: Form) -> AsyncIterator[Any]:
        """The pieces of the answer as they come, the last of which is its cost; raises RequestError."""
        self.admission.take(asking.load)
        seconds = min(asking.seconds or self.entry.limits.timeout, self.entry.limits.timeout)
        try:
            replica = await self._replica(seconds)
            async for piece in replica.pieces(_frame(asking, seconds), form):
                yield piece
        except DiedError as error:
            raise unavailable("the model's process ended while it answered; try again.") from error
        finally:
            self.admission.give_back(asking.load)

    async def _tried(self, asking: Asking, last: float) -> tuple[Any, dict[str, Any]]:
        """The answer, tried once more where a replica dies at it."""
        for attempt in range(TRIES):
            replica = await self._replica(last - time.monotonic())
            try:
                return await replica.answer(_frame(asking, last - time.monotonic()))
            except DiedError:
                self._log(
                    "warning", f"a replica died at a request, which is {'tried again' if not attempt else 'given up'}"
                )
        raise unavailable("the model's process ended twice while it answered this request.")

    async def _replica(self, seconds: float) -> Receiver:
        now = self._now
        replica = None if now is None else now.choose() or await now.wait_for_one(seconds)
        if replica is None:
            why = self.reason or f"it is {self.state.value}"
            raise unavailable(f"the model {self.name!r} cannot answer now: {why}.", 5.0)
        return replica

    async def _loaded(self, entry: FleetModel, threads: int) -> Generation:
        """Replicas of the entry that are ready; raises FailedError."""
        try:
            await asyncio.to_thread(_check_signature, entry)
            new = self._generation(entry, threads)
        except HfspecError as error:
            raise FailedError(str(error)) from error
        new.start()
        try:
            await new.ready()
        except BaseException:
            await new.stop(0)
            raise
        return new

    def _generation(self, entry: FleetModel, threads: int) -> Generation:
        return self._engine.generation(entry, threads, self._log, self.totals)


def _frame(asking: Asking, seconds: float) -> dict[str, Any]:
    return {
        "data": asking.data,
        "params": None if asking.params is None else dict(asking.params),
        "outputs": asking.outputs,
        "seconds": max(seconds, 0.0),
        "task": asking.task,
        "settings": None if asking.settings is None else dict(asking.settings),
    }


def _check_signature(entry: FleetModel) -> None:
    """Check the artifact's signature, where the fleet asks for it; the loading replica checks the bytes.

    Raises VerificationError, StorageError.
    """
    if entry.signature_key is not None:
        from hfspec.compiler import verify

        verify(Path(entry.artifact), key=Path(entry.signature_key))
