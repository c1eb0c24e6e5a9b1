"""The scheduler that every task shares: rows of known length are put in batches, their answers back in order.

Batches hold rows of about one length, longest first, up to a budget of tokens with the padding counted. Batching never
changes an answer: rows that must not be padded together are put in groups by their task, and no batch mixes groups.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from hfspec.errors import OutOfMemoryError
from hfspec.runtime.scheduling import memory

Content = TypeVar("Content")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Item(Generic[Content]):
    """A row, or a part of one, made ready for the model. ``row``: the row's place in the input, from 0. ``length``: the
    tokens it takes in a batch, those it will generate included. ``group``: only items of one group share a batch.
    """

    row: int
    length: int
    content: Content
    group: Hashable = None


class Budget:
    """How many tokens a batch may take, for the length of one call. When a batch does not fit in memory, it is halved
    for the rest of the call.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def holds(self, length: int) -> int:
        """How many items of this length a batch has: one at least, though it be longer than the budget."""
        return max(1, self.tokens // max(1, length))

    def halve(self, count: int, length: int) -> None:
        """Hold half of the ``count`` items of this length that were too many."""
        self.tokens = max(1, length) * max(1, count // 2)


def run(
    items: Sequence[Item[Content]],
    budget: Budget,
    forward: Callable[[Sequence[Item[Content]]], Sequence[Result]],
) -> list[Result]:
    """``forward`` over batches of the items, one result an item, in the items' order.

    No batch takes more than the budget, its longest item's length counted for each of its items, but an item longer
    than the budget still gets a batch of its own. A batch that runs out of memory is tried again in halves. Raises
    OutOfMemoryError naming the row of an item that does not fit by itself.
    """
    results: dict[int, Result] = {}
    for group in _groups(items):
        left = group
        while left:
            longest = items[left[0]].length
            batch = left[: budget.holds(longest)]
            answers = _attempt(forward, [items[place] for place in batch])
            if answers is None:
                budget.halve(len(batch), longest)
                continue
            results.update(zip(batch, answers, strict=True))
            left = left[len(batch) :]
    return [results[place] for place in range(len(items))]


def _attempt(
    forward: Callable[[Sequence[Item[Content]]], Sequence[Result]], batch: Sequence[Item[Content]]
) -> Sequence[Result] | None:
    """The batch's results, None where they need more memory than there is."""
    try:
        return forward(batch)
    except Exception as error:
        if not memory.is_exhausted(error):
            raise
        if len(batch) == 1:
            raise OutOfMemoryError(
                f"the model needs more memory for this row alone than there is ({memory.reason(error)}); shorten the"
                " row, ask for a shorter answer, or load the model in a smaller dtype or on another device.",
                row=batch[0].row,
            ) from error
    memory.release()  # only here is the error gone, and with it what its frames held
    return None


def _groups(items: Sequence[Item[Content]]) -> list[list[int]]:
    """Places in ``items``, group by group, the longest of each first."""
    groups: dict[Hashable, list[int]] = {}
    for place, item in enumerate(items):
        groups.setdefault(item.group, []).append(place)
    return [sorted(places, key=lambda place: -items[place].length) for places in groups.values()]
