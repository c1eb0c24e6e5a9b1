"""One served model: its replicas, which are replaced when they die, and the requests that are shared out among them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from hfspec.errors import HfspecError
from hfspec.integrity.verification import read_manifest
from hfspec.ir.artifact import Manifest
from hfspec.serving.fleet.values import FleetModel
from hfspec.serving.front.admission import Admission, Load
from hfspec.serving.front.errors import RequestError, unavailable
from hfspec.serving.front.replica import DiedError, FailedError, Replica
from hfspec.serving.replica.job import Form
from hfspec.tasks import endpoints
from hfspec.tasks.table import canonical

CRASHES = 10  # in a row, after which a model is left alone
HEALTHY = 60.0  # seconds after which a replica's earlier crashes no longer count
FIRST_WAIT, LONGEST_WAIT = 0.2, 30.0  # seconds before a replica is started again, doubled each time
LOOK = 0.25  # seconds between two looks at the beats
LOADING = 1800.0  # seconds that a replica may take to load
TRIES = 2
COUNTED = ("batches", "rows", "tokens", "filled", "made")  # of what a replica says of itself


class State(StrEnum):
    """What a model is doing."""

    LOADING = "loading"
    READY = "ready"
    CRASHING = "crashing"
    FAILED = "failed"
    UNLOADED = "unloaded"


@dataclass(frozen=True, slots=True)
class Asking:
    """A request to a model. ``load``: what it brings; ``seconds``: how long its caller waits; ``task``: whose requests
    the data are, None for the model's own; ``settings``: those that the protocol has keys for.
    """

    data: Any
    load: Load
    params: Mapping[str, Any] | None = None
    outputs: str | None = None
    seconds: float | None = None
    task: str | None = None
    settings: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Totals:
    """What the model's replicas have done, those that have ended included."""

    restarts: int = 0
    ended: dict[str, int] = field(default_factory=dict)


class Generation:
    """The replicas of one artifact. A reload makes another generation beside it."""

    def __init__(self, entry: FleetModel, threads: int, log: Callable[[str, str], None], totals: Totals) -> None:
        self.entry, self.threads, self.log, self.totals = entry, threads, log, totals
        self.manifest: Manifest = read_manifest(Path(entry.artifact))
        self.replicas: list[Replica] = []
        self.state = State.LOADING
        self.reason = ""
        self._tasks: list[asyncio.Task[None]] = []
        self._some = asyncio.Event()
        self._all = [asyncio.get_running_loop().create_future() for _ in range(entry.replicas)]

    def start(self) -> None:
        """Start all replicas, and keep them running."""
        self._tasks = [asyncio.create_task(self._keep(number)) for number in range(self.entry.replicas)]

    async def ready(self) -> None:
        """Wait until all replicas have been ready once; raises FailedError."""
        await asyncio.gather(*self._all)

    def choose(self) -> Replica | None:
        """The ready replica that has the fewest requests."""
        able = [replica for replica in self.replicas if replica.is_ready and not replica.is_leaving]
        return min(able, key=lambda replica: replica.load, default=None)

    async def wait_for_one(self, seconds: float) -> Replica | None:
        """The same, waited for while replicas are started."""
        last = time.monotonic() + seconds
        while (found := self.choose()) is None and self.state in {State.LOADING, State.READY}:
            self._some.clear()
            left = last - time.monotonic()
            if left <= 0:
                break
            with suppress(TimeoutError):
                await asyncio.wait_for(self._some.wait(), left)
        return found

    async def stop(self, seconds: float) -> None:
        """End all replicas once their work is done, within so many seconds."""
        self.state = State.UNLOADED
        for task in self._tasks:
            task.cancel()
        self._some.set()
        await asyncio.gather(*(replica.stop(seconds) for replica in self.replicas))
        for replica in self.replicas:
            self._count(replica)
        self.replicas = []

    def facts(self) -> dict[str, Any]:
        """What a replica said when it was ready."""
        return next((replica.facts for replica in self.replicas if replica.facts), {})

    async def _keep(self, number: int) -> None:
        """Keep one replica running."""
        crashes = 0
        while True:
            replica = await self._started()
            if await self._loaded(replica, number):
                await self._watch(replica)
            elif self.state is State.FAILED:
                return
            self._ended(replica)
            is_healthy = time.monotonic() - replica.started > HEALTHY
            if replica.is_leaving and is_healthy:  # it was replaced for its memory
                continue
            crashes = 1 if is_healthy else crashes + 1
            if crashes >= CRASHES:
                self._give_up(number, crashes)
                return
            self.totals.restarts += 1
            await asyncio.sleep(min(FIRST_WAIT * 2 ** (crashes - 1), LONGEST_WAIT))

    async def _started(self) -> Replica:
        entry = self.entry
        config = {
            "artifact": entry.artifact,
            "model_config": dict(entry.inference) or None,
            "sources": dict(entry.sources) or None,
            **{name: getattr(entry, name) for name in ("dtype", "device", "backend", "expect_fingerprint")},
            "threads": self.threads,
            "trust_remote_code": entry.trust_remote_code,
            "keep_memory": True,
            "bounds": {
                "audio_max_seconds": entry.limits.audio_seconds,
                "image_max_pixels": entry.limits.image_pixels,
            },
        }
        replica = await Replica.start(config, {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(self.threads)})
        self.replicas.append(replica)
        return replica

    async def _loaded(self, replica: Replica, number: int) -> bool:
        """Whether it became ready."""
        try:
            await asyncio.wait_for(asyncio.shield(replica.ready), LOADING)
        except FailedError as error:
            if not self._all[number].done():  # the first time: the artifact is at fault
                self.state, self.reason = State.FAILED, str(error)
                self._all[number].set_exception(error)
                self._all[number].exception()
            return False
        except (DiedError, TimeoutError):
            return False
        if not self._all[number].done():
            self._all[number].set_result(None)
        if self.state is State.LOADING or self.state is State.CRASHING:
            self.state = State.READY
        self._some.set()
        return True

    async def _watch(self, replica: Replica) -> None:
        """Wait for its end, and end it where it no longer moves, or holds too much memory."""
        limits = self.entry.limits
        while not replica.gone.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(replica.gone.wait(), LOOK)
            silent = time.monotonic() - replica.last_beat
            if max(silent, replica.beat.get("step", 0.0)) > limits.step_seconds:
                self.log(
                    "error", f"replica {replica.process.pid} did not move for {limits.step_seconds:g} s: it is ended"
                )
                replica.kill()
                await replica.gone.wait()
            elif limits.memory is not None and replica.beat.get("memory", 0) > limits.memory and not replica.is_leaving:
                self.log(
                    "warning", f"replica {replica.process.pid} holds more than {limits.memory} bytes: it is replaced"
                )
                await replica.stop(self.entry.limits.timeout)

    def _ended(self, replica: Replica) -> None:
        replica.kill()
        code = replica.process.wait()
        self.replicas.remove(replica)
        self._count(replica)
        if not replica.is_leaving:
            how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            self.log("error", f"replica {replica.process.pid} ended {how}")

    def _count(self, replica: Replica) -> None:
        """Keep what a replica that has ended had done, so that no meter goes back."""
        for name in COUNTED:
            self.totals.ended[name] = self.totals.ended.get(name, 0) + replica.beat.get(name, 0)

    def _give_up(self, number: int, crashes: int) -> None:
        self.reason = f"a replica ended {crashes} times in a row; the server's log says how"
        self.log("error", f"{self.reason}: it is not started again")
        if not any(replica.is_ready for replica in self.replicas):
            self.state = State.CRASHING
        if not self._all[number].done():
            self._all[number].set_exception(FailedError(self.reason))
            self._all[number].exception()
        self._some.set()


class Model:
    """A model under its names. ``entry``: as the fleet has it now."""

    def __init__(self, entry: FleetModel, threads: int, log: Callable[[str, str], None]) -> None:
        self.entry, self.threads = entry, threads
        self.admission = Admission(entry.limits)
        self.totals = Totals()
        self._log = log
        self._changing = asyncio.Lock()
        self._now: Generation | None = None
        self._later: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def generation(self) -> Generation | None:
        """The replicas that answer; None when the model is unloaded."""
        return self._now

    @property
    def manifest(self) -> Manifest:
        """What the artifact says of itself; raises RequestError when the model is unloaded."""
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
        """The protocols that the model is offered by: those of its entry, or all that fit its task."""
        if self.entry.endpoints is not None:
            return self.entry.endpoints
        return endpoints.fitting(self.manifest.deployment.library, self.task)

    @property
    def state(self) -> State:
        return State.UNLOADED if self._now is None else self._now.state

    @property
    def reason(self) -> str:
        """Why the model is not ready, where that is known."""
        return "" if self._now is None else self._now.reason

    @property
    def is_ready(self) -> bool:
        """Whether a request would be answered now."""
        return self._now is not None and self._now.choose() is not None

    async def start(self) -> None:
        """Load the model for the first time, and wait until it is ready; raises FailedError."""
        await asyncio.to_thread(_check_signature, self.entry)
        self._now = self._generation(self.entry)
        self._now.start()
        await self._now.ready()

    async def replace(self, entry: FleetModel, grace: float) -> None:
        """Load another artifact beside the one that answers, switch to it, and let the old one end its work.

        Raises:
            FailedError: The new one is not as it should be; the old one goes on.
        """
        async with self._changing:
            try:
                await asyncio.to_thread(_check_signature, entry)
                new = self._generation(entry)
            except HfspecError as error:
                raise FailedError(str(error)) from error
            new.start()
            try:
                await new.ready()
            except BaseException:
                await new.stop(0)
                raise
            old, self._now, self.entry = self._now, new, entry
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
        """The answer to all rows, and what it took; raises RequestError."""
        self.admission.take(asking.load)
        begun = time.monotonic()
        seconds = min(asking.seconds or self.entry.limits.timeout, self.entry.limits.timeout)
        try:
            async with asyncio.timeout(seconds + 1):  # the replica tells of it first, if it can
                value, used = await self._tried(asking, begun + seconds)
        except TimeoutError as error:
            raise RequestError(504, "the request's time was over before it was answered.", "ExpiredError") from error
        finally:
            self.admission.give_back(asking.load)
        self.admission.measured(asking.load, used["tokens"])
        return value, used

    async def pieces(self, asking: Asking, form: Form) -> AsyncIterator[Any]:
        """The pieces of the answer as they come, and what it took as the last; raises RequestError."""
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
        """The answer, asked for once more where a replica dies at it."""
        for attempt in range(TRIES):
            replica = await self._replica(last - time.monotonic())
            try:
                return await replica.answer(_frame(asking, last - time.monotonic()))
            except DiedError:
                self._log(
                    "warning", f"a replica died at a request, which is {'tried again' if not attempt else 'given up'}"
                )
        raise unavailable("the model's process ended twice while it answered this request.")

    async def _replica(self, seconds: float) -> Replica:
        now = self._now
        found = None if now is None else now.choose() or await now.wait_for_one(seconds)
        if found is None:
            why = self.reason or f"it is {self.state.value}"
            raise unavailable(f"the model {self.name!r} cannot answer now: {why}.", 5.0)
        return found

    def _generation(self, entry: FleetModel) -> Generation:
        return Generation(entry, self.threads, self._log, self.totals)


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
    """Check who vouches for the artifact, where the fleet asks; its bytes are checked by whoever loads it.

    Raises VerificationError, StorageError.
    """
    if entry.signature_key is not None:
        from hfspec.compiler import verify

        verify(Path(entry.artifact), key=Path(entry.signature_key))
