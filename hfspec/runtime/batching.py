"""The scheduler that every task shares: rows of known length are put in batches, their answers back in order.

Batches hold rows of about one length, longest first, up to a budget of tokens with the padding counted. Batching never
changes an answer: rows that must not be padded together are put in groups by their task, and no batch mixes groups.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

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


def batches(items: Sequence[Item[Content]], budget: int) -> Iterator[list[int]]:
    """Places in ``items``, one list a batch; each place once.

    No batch takes more than ``budget`` tokens, its longest row's length counted for each of its rows, but a row longer
    than the budget still gets a batch of its own.
    """
    for places in _groups(items):
        longest_first = sorted(places, key=lambda place: -items[place].length)
        start = 0
        while start < len(longest_first):
            longest = max(1, items[longest_first[start]].length)
            size = max(1, budget // longest)
            yield longest_first[start : start + size]
            start += size


def run(
    items: Sequence[Item[Content]],
    budget: int,
    forward: Callable[[Sequence[Item[Content]]], Sequence[Result]],
) -> list[Result]:
    """``forward`` over batches of the items, one result an item, in the items' order."""
    results: dict[int, Result] = {}
    for places in batches(items, budget):
        answers = forward([items[place] for place in places])
        results.update(zip(places, answers, strict=True))
    return [results[place] for place in range(len(items))]


def _groups(items: Sequence[Item[Content]]) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for place, item in enumerate(items):
        groups.setdefault(item.group, []).append(place)
    return list(groups.values())
