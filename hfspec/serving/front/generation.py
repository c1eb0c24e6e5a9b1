"""The replicas of one artifact, wherever they run: all that the HTTP process knows of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from hfspec.ir.artifact import Manifest
from hfspec.serving.fleet.values import Fleet, FleetModel
from hfspec.serving.replica.job import Form

COUNTED = ("batches", "rows", "tokens", "filled", "made", "reused")  # of what a replica says of itself
Log: TypeAlias = Callable[[str, str], None]


class DiedError(Exception):
    """The replica ended before it answered."""


class FailedError(Exception):
    """The replica could not load its artifact; the text says why."""


class State(StrEnum):
    """What a model is doing."""

    LOADING = "loading"
    READY = "ready"
    CRASHING = "crashing"
    FAILED = "failed"
    UNLOADED = "unloaded"


@dataclass(slots=True)
class Totals:
    """What the model's replicas have done, those that have ended included."""

    restarts: int = 0
    ended: dict[str, int] = field(default_factory=dict)

    def count(self, beat: Mapping[str, Any]) -> None:
        """Keep what a replica that has ended had done, so that no meter goes back."""
        for name in COUNTED:
            self.ended[name] = self.ended.get(name, 0) + beat.get(name, 0)


class Asked(Protocol):
    """Who answers a request: a replica, or who passes it on to one."""

    async def answer(self, ask: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The whole answer, and what it took; raises RequestError, DiedError. Ends the request when it is cancelled."""

    def pieces(self, ask: Mapping[str, Any], form: Form) -> AsyncIterator[Any]:
        """The pieces of an answer as they come, then what it took; raises the same."""


class Seen(Protocol):
    """A replica as it was last seen. ``beat``: what it said last of itself."""

    is_ready: bool
    beat: dict[str, Any]


class Generation(Protocol):
    """The replicas of one artifact. A reload makes another generation beside it."""

    manifest: Manifest
    state: State
    reason: str

    @property
    def replicas(self) -> Sequence[Seen]:
        """The replicas that there are."""

    def start(self) -> None:
        """Start all replicas, and keep them running."""

    async def ready(self) -> None:
        """Wait until all replicas have been ready once; raises FailedError."""

    def choose(self) -> Asked | None:
        """Who is to answer the next request; None where nobody can."""

    async def wait_for_one(self, seconds: float) -> Asked | None:
        """The same, waited for while replicas are started."""

    async def stop(self, seconds: float) -> None:
        """End all replicas once their work is done, within so many seconds."""

    def facts(self) -> dict[str, Any]:
        """What a replica said when it was ready."""


class Engine(Protocol):
    """What starts replicas: processes of this machine, or a cluster."""

    def threads(self, fleet: Fleet) -> Callable[[FleetModel], int]:
        """How many threads a replica of an entry has."""

    def generation(self, entry: FleetModel, threads: int, log: Log, totals: Totals) -> Generation:
        """The replicas of an entry, not started; raises HfspecError for what is no artifact."""
