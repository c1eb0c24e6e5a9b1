"""The replicas of one artifact, wherever they run, as the HTTP process sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from hfspec.ir.artifact import Manifest
from hfspec.serving.fleet.values import Fleet, FleetModel
from hfspec.serving.replica.job import Form

COUNTED = ("batches", "rows", "tokens", "filled", "made", "reused")  # the counters in a replica's report
Log: TypeAlias = Callable[[str, str], None]


class DiedError(Exception):
    """The replica ended before it answered."""


class FailedError(Exception):
    """The replica could not load its artifact; the text says why."""


class State(StrEnum):
    """The state of a model."""

    LOADING = "loading"
    READY = "ready"
    CRASHING = "crashing"
    FAILED = "failed"
    UNLOADED = "unloaded"


@dataclass(slots=True)
class Totals:
    """How often replicas of a model were started again, and the counters of those that have ended."""

    restarts: int = 0
    ended: dict[str, int] = field(default_factory=dict)

    def count(self, beat: Mapping[str, Any]) -> None:
        """Add the counters of a replica that has ended, so that no meter goes back."""
        for name in COUNTED:
            self.ended[name] = self.ended.get(name, 0) + beat.get(name, 0)


class Receiver(Protocol):
    """The receiver of a request: a replica, or whoever passes it on to one."""

    async def answer(self, ask: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The whole answer, and its cost; raises RequestError, DiedError. Ends the request when it is cancelled."""

    def pieces(self, ask: Mapping[str, Any], form: Form) -> AsyncIterator[Any]:
        """The pieces of an answer as they come, then its cost; raises the same."""


class ReplicaReport(Protocol):
    """A replica as it was last seen. ``beat``: its latest report."""

    is_ready: bool
    beat: dict[str, Any]


class Generation(Protocol):
    """The replicas of one artifact. A reload makes another generation beside it."""

    manifest: Manifest
    state: State
    reason: str

    @property
    def replicas(self) -> Sequence[ReplicaReport]:
        """All replicas."""

    def start(self) -> None:
        """Start all replicas, and keep them running."""

    async def ready(self) -> None:
        """Wait until all replicas have been ready once; raises FailedError."""

    def choose(self) -> Receiver | None:
        """The receiver of the next request; None where nobody can answer."""

    async def wait_for_one(self, seconds: float) -> Receiver | None:
        """As ``choose``, after a wait while replicas are started."""

    async def stop(self, seconds: float) -> None:
        """End all replicas once their work is done, within so many seconds."""

    def facts(self) -> dict[str, Any]:
        """The report of a replica when it became ready."""


class Engine(Protocol):
    """A starter of replicas: as processes of this machine, or on a cluster."""

    def threads(self, fleet: Fleet) -> Callable[[FleetModel], int]:
        """How many threads a replica of an entry has."""

    def generation(self, entry: FleetModel, threads: int, log: Log, totals: Totals) -> Generation:
        """The replicas of an entry, not started; raises HfspecError where the folder is no artifact."""
