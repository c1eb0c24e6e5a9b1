"""Replicas as processes of this machine, which are replaced when they die."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hfspec.integrity.verification import read_manifest
from hfspec.ir.artifact import Manifest
from hfspec.serving.fleet.values import Fleet, FleetModel
from hfspec.serving.front.generation import DiedError, FailedError, Log, State, Totals
from hfspec.serving.front.replica import Replica, config_of

CRASHES = 10  # in a row, after which a model is left alone
HEALTHY = 60.0  # seconds after which a replica's earlier crashes no longer count
FIRST_WAIT, LONGEST_WAIT = 0.2, 30.0  # seconds before a replica is started again, doubled each time
LOOK = 0.25  # seconds between two looks at the beats
LOADING = 1800.0  # seconds that a replica may take to load


class Local:
    """The engine that starts these processes."""

    def threads(self, fleet: Fleet) -> Callable[[FleetModel], int]:
        """Threads of a replica: the entry's, else its share of the cores."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        share = max(1, cores // sum(entry.replicas for entry in fleet.models))
        return lambda entry: entry.threads or share

    def generation(self, entry: FleetModel, threads: int, log: Log, totals: Totals) -> Processes:
        """The processes of an entry, not started; raises HfspecError where the folder is no artifact."""
        return Processes(entry, threads, log, totals)


class Processes:
    """The replicas of one artifact as processes of this machine."""

    def __init__(self, entry: FleetModel, threads: int, log: Log, totals: Totals) -> None:
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
        """As ``choose``, after a wait while replicas are started."""
        last = time.monotonic() + seconds
        while (replica := self.choose()) is None and self.state in {State.LOADING, State.READY}:
            self._some.clear()
            remaining = last - time.monotonic()
            if remaining <= 0:
                break
            with suppress(TimeoutError):
                await asyncio.wait_for(self._some.wait(), remaining)
        return replica

    async def stop(self, seconds: float) -> None:
        """End all replicas once their work is done, within so many seconds."""
        self.state = State.UNLOADED
        for task in self._tasks:
            task.cancel()
        self._some.set()
        await asyncio.gather(*(replica.stop(seconds) for replica in self.replicas))
        for replica in self.replicas:
            self.totals.count(replica.beat)
        self.replicas = []

    def facts(self) -> dict[str, Any]:
        """The report of a replica when it became ready."""
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
        replica = await Replica.start(config_of(self.entry, self.threads))
        self.replicas.append(replica)
        return replica

    async def _loaded(self, replica: Replica, number: int) -> bool:
        """Wait for the replica; return whether it became ready."""
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
        """Wait for the replica's end, and end it where it no longer moves, or holds too much memory."""
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
        self.totals.count(replica.beat)
        if not replica.is_leaving:
            how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            self.log("error", f"replica {replica.process.pid} ended {how}")

    def _give_up(self, number: int, crashes: int) -> None:
        self.reason = f"a replica ended {crashes} times in a row; the server's log says how"
        self.log("error", f"{self.reason}: it is not started again")
        if not any(replica.is_ready for replica in self.replicas):
            self.state = State.CRASHING
        if not self._all[number].done():
            self._all[number].set_exception(FailedError(self.reason))
            self._all[number].exception()
        self._some.set()
