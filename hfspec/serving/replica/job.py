"""A request in the engine: its rows, their results, and how many of these the caller has."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from hfspec.errors import RowError
from hfspec.inputs.row import Row
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.scheduling.begun import Begun

EXPIRED = "the request's time was over before it was answered."


class Form(StrEnum):
    """The form of an answer: one to all rows, one a row in their order, or the pieces of a stream."""

    WHOLE = "whole"
    ROWS = "rows"
    STREAM = "stream"


@dataclass(frozen=True, slots=True)
class Ask:
    """A caller's request. ``form``: how the answer comes; ``outputs``: the answer's form, standard or full;
    ``deadline``: when nobody waits any more, by the monotonic clock of the machine, None for never; ``task``: the task
    whose request form the data have, None for the model's own; ``settings``: the settings that the caller's protocol
    has keys for.
    """

    key: int
    data: Any
    params: dict[str, Any] | None = None
    outputs: str | None = None
    form: Form = Form.WHOLE
    deadline: float | None = None
    task: str | None = None
    settings: dict[str, Any] | None = None


class Told(Protocol):
    """The receiver of the engine's answers. The engine calls it in its own thread."""

    def answer(self, key: int, value: Any, used: dict[str, Any]) -> None:
        """Take the whole answer, or the end of the pieces. ``used``: rows, tokens and seconds by stage."""

    def piece(self, key: int, value: Any) -> None:
        """Take the next row's answer or error, or a stream's next chunks."""

    def has_left(self, key: int) -> bool:
        """Whether the caller waits no more. The engine may call it while a step runs."""

    def error(self, key: int, error: BaseException) -> None:
        """Take the error: no answer will come, nor a further piece."""


@dataclass(slots=True)
class Job:
    """``begun``: the call; ``prepared``: how many rows have been made ready; ``parts``: the results of a row's items,
    in their order; ``missing``: how many of them are not there; ``told``: how many rows' results the caller has.
    """

    ask: Ask
    begun: Begun
    arrived: float
    virtual: float = 0.0
    prepared: int = 0
    tokens: int = 0
    told: int = 0
    parts: dict[int, list[Any]] = field(default_factory=dict)
    missing: dict[int, int] = field(default_factory=dict)
    results: dict[int, Any] = field(default_factory=dict)
    started: float | None = None
    spent: dict[str, float] = field(default_factory=dict)
    stream: Any = None

    @property
    def rows(self) -> list[Row]:
        return self.begun.rows

    @property
    def refused(self) -> dict[int, RowError] | None:
        return self.begun.call.refused

    @property
    def is_prepared(self) -> bool:
        return self.prepared >= len(self.rows)

    @property
    def is_done(self) -> bool:
        return self.is_prepared and len(self.results) == len(self.rows)

    def take(self, row: int, index: int, result: Any) -> None:
        """Keep the result of a row's item; join the row once all its items are there."""
        self.parts[row][index] = result
        self.missing[row] -= 1
        if not self.missing[row]:
            del self.missing[row]
            self.results[row] = self.begun.call.runner.joined(self.parts.pop(row), self.begun.call.settings)

    def refuse(self, row: int, error: RowError) -> None:
        """Make the error the row's answer."""
        self.parts.pop(row, None)
        self.missing.pop(row, None)
        self.results[row] = error

    def due(self) -> list[tuple[int, Any]]:
        """Take the results that are next in order, with their rows' numbers."""
        results = []
        while self.told < len(self.rows) and (number := self.rows[self.told].number) in self.results:
            results.append((number, self.results[number]))
            self.told += 1
        return results

    def used(self, now: float) -> dict[str, Any]:
        """The cost of the job, for the meters."""
        waited = (self.started or now) - self.arrived
        return {"rows": len(self.rows), "tokens": self.tokens, "queue": waited, **self.spent}


@dataclass(frozen=True, slots=True)
class Waiting:
    """An item of a job. ``index``: its index in its row; ``virtual``: the work, in tokens, after which it is due."""

    job: Job
    item: Item[Any]
    index: int
    virtual: float

    @property
    def due(self) -> tuple[float, float]:
        """The key that orders waiting items: the work done for their request, then its time of arrival."""
        return (self.virtual, self.job.arrived)
