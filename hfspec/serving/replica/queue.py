"""The items of all requests that wait, and which of them share the next batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hfspec.runtime.scheduling.batching import Budget
from hfspec.runtime.scheduling.partition import partition
from hfspec.serving.replica.job import Job, Waiting
from hfspec.settings.precedence import Settings

CANDIDATES = 256  # items looked at for a batch


class Queue:
    """Items in groups, the items of one of which may share a batch. ``virtual``: the work, in tokens, after which the
    last batch was due; a request that comes now is due then.
    """

    def __init__(self) -> None:
        self.virtual = 0.0
        self._groups: dict[Any, list[Waiting]] = {}

    def __bool__(self) -> bool:
        return bool(self._groups)

    def put(self, waiting: Waiting) -> None:
        """Add an item."""
        self._groups.setdefault(_group(waiting), []).append(waiting)

    def drop(self, job: Job) -> None:
        """Remove the items of a job."""
        for key, group in list(self._groups.items()):
            self._keep(key, [waiting for waiting in group if waiting.job is not job])

    def next_batch(self, budget: Callable[[Settings], Budget], pass_tokens: int | None) -> list[Waiting]:
        """Remove and return the item that is due first, with others of its group that go well with it.

        Args:
            budget: Settings -> the tokens that a batch may take.
            pass_tokens: Cost of one more forward pass, in tokens, as ``partition`` takes it.

        Returns:
            The batch, the longest item first. An item whose answer is streamed is alone.
        """
        key, group = min(self._groups.items(), key=lambda entry: min(waiting.due for waiting in entry[1]))
        group.sort(key=lambda waiting: waiting.due)
        head, near = group[0], group[:CANDIDATES]
        near.sort(key=lambda waiting: -waiting.item.length)
        tokens = budget(head.job.begun.call.settings).tokens
        parts = partition([waiting.item.length for waiting in near], tokens, pass_tokens)
        number = next(number for number, waiting in enumerate(near) if waiting is head)
        batch = [near[index] for part in parts if number in part for index in part]
        batch = batch if head.job.stream is None else [head]
        members = {id(waiting) for waiting in batch}
        self._keep(key, [waiting for waiting in group if id(waiting) not in members])
        self.virtual = max(self.virtual, head.virtual)
        return batch

    def _keep(self, key: Any, group: list[Waiting]) -> None:
        if group:
            self._groups[key] = group
        else:
            del self._groups[key]


def _group(waiting: Waiting) -> Any:
    """The key that the items of one batch have in common."""
    call = waiting.job.begun.call
    return (call.runner.task.name, call.settings.fingerprint(), waiting.item.group)
