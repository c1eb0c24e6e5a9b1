"""The scheduler of every task: it puts rows of known length in batches, and their answers back in order.

Batches hold rows of about one length, longest first, up to a budget of tokens with padding counted, and are cut where
padding would take longer than another pass. Batching never changes an answer: the task puts rows that must not be
padded together in groups, and no batch mixes groups. A batch may be launched before the one before it is read, so that
a device is not idle while the host reads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from hfspec.errors import OutOfMemoryError, RowError
from hfspec.runtime.scheduling import memory
from hfspec.runtime.scheduling.partition import PASS, partition

Content = TypeVar("Content")
Result = TypeVar("Result")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Item(Generic[Content]):
    """A row, or a part of one, ready for the model. ``row``: the row's place in the input, from 0. ``length``: the
    tokens it takes in a batch, those it will generate included. ``group``: only items of one group share a batch.
    """

    row: int
    length: int
    content: Content
    group: Hashable = None


class Budget:
    """The tokens that a batch may take, for the length of one call. It is halved for the rest of the call when a batch
    does not fit in memory.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def holds(self, length: int) -> int:
        """How many items of this length a batch has: one at least, even where it is longer than the budget."""
        return max(1, self.tokens // max(1, length))

    def halve(self, count: int, length: int) -> None:
        """Shrink the budget to half of the ``count`` items of this length, which were too many."""
        self.tokens = max(1, length) * max(1, count // 2)


def run(
    items: Sequence[Item[Content]],
    budget: Budget,
    launch: Callable[[Sequence[Item[Content]]], Callable[[], Sequence[Result]]],
    ahead: int = 0,
    cost: int | None = PASS,
    *,
    refused: MutableMapping[int, RowError] | None = None,
) -> list[Result | None]:
    """Run the items in batches.

    No batch takes more than the budget, its longest item's length counted for each of its items, but an item longer
    than the budget still gets a batch of its own. A batch that runs out of memory, when it is launched or when it is
    read, is tried again in halves.

    Args:
        items: The items.
        budget: The tokens that a batch may take.
        launch: Begins a batch's forward pass, and returns a function that waits for the results.
        ahead: At most so many launched batches, and one more, are unread.
        cost: Of a pass beside its tokens, in tokens; None: more than any padding.
        refused: Takes the errors of rows by their numbers; a batch then runs again without such a row, whose items
            have the result None.

    Returns:
        The results, one an item, in the items' order.

    Raises:
        RowError: Naming the row of an item that does not fit by itself, or that has no answer, without ``refused``.
    """
    return _Run(items, budget, launch, ahead, cost, refused=refused).results()


class _Run(Generic[Content, Result]):
    """One run over the items. ``waiting``: places in ``items``, batch by batch, the longest of each first. ``flying``:
    the batches launched and not yet read, the oldest first, each with the function that reads it.
    """

    def __init__(
        self,
        items: Sequence[Item[Content]],
        budget: Budget,
        launch: Callable[[Sequence[Item[Content]]], Callable[[], Sequence[Result]]],
        ahead: int,
        cost: int | None,
        *,
        refused: MutableMapping[int, RowError] | None,
    ) -> None:
        self.items, self.budget, self.launch, self.ahead, self.refused = items, budget, launch, ahead, refused
        self.waiting = deque(_batches(items, budget.tokens, cost))
        self.flying: deque[tuple[list[int], Callable[[], Sequence[Result]]]] = deque()
        self.found: dict[int, Result] = {}
        self.alone: set[int] = set()  # places of items whose batch holds one without an answer, nobody knows which

    def results(self) -> list[Result | None]:
        while self.waiting or self.flying:
            if self.waiting and len(self.flying) <= self.ahead:
                self._launch()
            else:
                self._read()
        return [self.found.get(place) for place in range(len(self.items))]

    def _launch(self) -> None:
        batch = self.waiting.popleft()
        count = 1 if batch[0] in self.alone else self.budget.holds(self.items[batch[0]].length)
        if len(batch) > count:  # since the budget was halved
            self.waiting.appendleft(batch[count:])
            batch = batch[:count]
        wait = self._attempt(lambda: self.launch([self.items[place] for place in batch]), batch)
        if wait is None:
            self._again(batch)
        else:
            self.flying.append((batch, wait))

    def _read(self) -> None:
        batch, wait = self.flying.popleft()
        answers = self._attempt(wait, batch)
        if answers is None:
            self._again(batch)
        else:
            self.found.update(zip(batch, answers, strict=True))

    def _again(self, batch: list[int]) -> None:
        """Put the batch next in line, without the rows that have been refused."""
        rest = [place for place in batch if self.items[place].row not in (self.refused or {})]
        if rest:
            self.waiting.appendleft(rest)

    def _attempt(self, step: Callable[[], Made], batch: list[int]) -> Made | None:
        """The step's result for the batch; None where the batch is to be tried again: without a row that is refused,
        each item alone where an error names no row, or, where it needs more memory than there is, in halves and with no
        other in flight.
        """
        try:
            return step()
        except RowError as error:
            if error.row is None and len(batch) > 1:
                self.alone |= set(batch)
            else:
                self._refuse(error)
            return None
        except Exception as error:
            if not memory.is_exhausted(error):
                raise
            if len(batch) == 1 and not self.flying:
                self._refuse(_too_large(error, self.items[batch[0]].row))
        memory.release()  # only here is the error gone, and with it what its frames held
        if self.flying:
            self.ahead = 0
        if len(batch) > 1:
            self.budget.halve(len(batch), self.items[batch[0]].length)
        return None

    def _refuse(self, error: RowError) -> None:
        if self.refused is None or error.row is None:
            raise error
        self.refused[error.row] = error


def _too_large(error: Exception, row: int) -> OutOfMemoryError:
    problem = OutOfMemoryError(
        f"the model needs more memory for this row alone than there is ({memory.reason(error)}); shorten the row, ask"
        " for a shorter answer, or load the model in a smaller dtype or on another device.",
        row=row,
    )
    problem.__cause__ = error
    return problem


def _batches(items: Sequence[Item[Content]], most: int, cost: int | None) -> Iterator[list[int]]:
    """Places in ``items``, batch by batch, group by group, the longest of each first."""
    groups: dict[Hashable, list[int]] = {}
    for place, item in enumerate(items):
        groups.setdefault(item.group, []).append(place)
    for places in groups.values():
        places.sort(key=lambda place: -items[place].length)
        for batch in partition([items[place].length for place in places], most, cost):
            yield [places[number] for number in batch]
