"""The prompts of all requests: those that wait to join the running batch, and those in it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from hfspec.runtime.generation.causal_generation import Asked, CausalGeneration
from hfspec.runtime.generation.prefix_cache import PrefixCache, is_cuttable
from hfspec.runtime.generation.running_batch.batch import RunningBatch
from hfspec.runtime.generation.running_batch.cohort import Step
from hfspec.runtime.generation.running_batch.joining import NotMergeableError
from hfspec.runtime.scheduling import memory
from hfspec.runtime.scheduling.batching import Budget
from hfspec.settings.precedence import Settings

if TYPE_CHECKING:
    from hfspec.serving.replica.job import Job, Waiting

# Prompts that run together, however long their answers may be: one that may go on for long keeps nobody out.
TOGETHER = 8


class Prompts:
    """``merges``: whether the model's rows can be put beside other rows, as far as is known. ``virtual``: when the
    last prompt that joined was due; ``prefixes``: the kept beginnings of prompts.
    """

    def __init__(self, runner: CausalGeneration, prefix_cache: int = 0) -> None:
        self.merges = True
        self.virtual = 0.0
        self.prefixes = PrefixCache(prefix_cache if is_cuttable(runner.model) else 0)
        self._running = RunningBatch(runner, self.prefixes)
        self._queue: list[tuple[Waiting, Asked]] = []
        self._inside: dict[Hashable, Waiting] = {}
        self._weights: dict[Hashable, int] = {}
        self._numbers = count()
        self._given_back: list[Waiting] = []

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._queue or self._inside)

    def take(self, waiting: Waiting) -> bool:
        """Take an item whose prompt can be continued here."""
        if not self.merges:
            return False
        call = waiting.job.begun.call
        runner: Any = call.runner
        request: Asked | None = runner.asked(waiting.item, call.settings)
        if request is None:
            return False
        self._queue.append((waiting, replace(request, key=next(self._numbers))))
        return True

    def drop(self, job: Job) -> None:
        """Drop the prompts of this job, for which nobody waits."""
        self._queue = [entry for entry in self._queue if entry[0].job is not job]
        for key in [key for key, waiting in self._inside.items() if waiting.job is job]:
            self._running.drop(key)
            self._gone(key)

    def clear(self) -> None:
        """Give up all prompts, and the running batch, which a failed step may have left half done."""
        self._running = RunningBatch(self._running.runner, self.prefixes)
        self._queue, self._given_back = [], []
        self._inside, self._weights = {}, {}

    def returned(self) -> list[Waiting]:
        """The items that must be computed in whole batches after all."""
        items, self._given_back = self._given_back, []
        return items

    def step(self, budget: Callable[[Settings], Budget], now: float) -> Iterator[tuple[Waiting, Step]]:
        """Let in the prompts that have room, and make one token of every prompt; yield each step with its item."""
        steps: list[Step] = []
        if len(self._running):
            steps += self._attempt(self._running.step)
        if self._queue:
            steps += self._join(budget, now)
        for step in steps:
            waiting = self._inside.get(step.key)
            if waiting is None:
                continue
            yield waiting, step
            if step.ended is not None or step.error is not None:
                self._gone(step.key)

    def _join(self, budget: Callable[[Settings], Budget], now: float) -> list[Step]:
        """Read the prompts that wait longest and go together, as far as there is room."""
        self._queue.sort(key=lambda entry: entry[0].due)
        head = self._queue[0]
        settings = head[0].job.begun.call.settings
        tokens = budget(settings).tokens
        room = tokens - sum(self._weights.values())
        batch: list[tuple[Waiting, Asked]] = []
        for entry in self._queue:
            if not _goes_with(entry, head):
                continue
            weight = _weight(entry[0], tokens)
            if weight > room and (self._inside or batch):
                break
            batch.append(entry)
            room -= weight
        if not batch:
            return []
        self.virtual = max(self.virtual, head[0].virtual)
        keys = {request.key for _, request in batch}
        self._queue = [entry for entry in self._queue if entry[1].key not in keys]
        for waiting, request in batch:
            self._inside[request.key], self._weights[request.key] = waiting, _weight(waiting, tokens)
            waiting.job.started = waiting.job.started or now
        try:
            return self._attempt(lambda: self._running.join([request for _, request in batch]))
        except NotMergeableError:
            self.merges = False
            self._given_back = [waiting for waiting, _ in [*batch, *self._queue]]
            self._queue = []
            for _, request in batch:
                self._gone(request.key)
            return []

    def _attempt(self, step: Callable[[], list[Step]]) -> list[Step]:
        """A step; where memory runs out, all prompts begin again, in batches of half the size."""
        try:
            return step()
        except Exception as error:
            if not memory.is_exhausted(error):
                raise
        self._running.clear()
        self.prefixes.clear()
        memory.release()
        self.merges = False
        self._given_back += self._inside.values()
        self._inside, self._weights = {}, {}
        return []

    def _gone(self, key: Hashable) -> None:
        self._inside.pop(key, None)
        self._weights.pop(key, None)


def _weight(waiting: Waiting, tokens: int) -> int:
    """The tokens that a prompt and its answers count for, of the room for so many."""
    return min(waiting.item.length, max(1, tokens // TOGETHER))


def _goes_with(entry: tuple[Waiting, Asked], head: tuple[Waiting, Asked]) -> bool:
    """Whether two prompts can be read together: their settings and the room of their answers are the same."""
    return entry[1].prompt.room == head[1].prompt.room and _key(entry[1]) == _key(head[1])


def _key(request: Asked) -> Any:
    settings = request.settings.over({"seed": None}) if request.settings.get("seed") is not None else request.settings
    return (settings.fingerprint(), request.answers, request.seed is None)
