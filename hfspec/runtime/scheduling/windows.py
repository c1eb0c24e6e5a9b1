"""Rows in windows: those that are prepared, sorted by length and answered together.

A window bounds the rows in memory, whatever their number. The first windows of a stream are small, so that its
first answers come at once, and each is larger than the one before until they are full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from hfspec.inputs.row import Row
from hfspec.runtime.scheduling.batching import Item

FIRST, GROWTH, FULL = 8, 4, 2048


@dataclass(frozen=True, slots=True)
class Size:
    """The size of windows. ``rows``: how many one holds at most, the first one ``first``. ``tokens``: a window takes no
    further rows once it has as many. ``at_once``: how many rows are prepared before their tokens are counted.
    """

    rows: int
    tokens: int
    at_once: int
    first: int


@dataclass(frozen=True, slots=True)
class Window:
    """Rows in their order, and their items."""

    rows: Sequence[Row]
    items: Sequence[Item[Any]]


def windows(
    rows: Iterable[Row],
    size: Size,
    prepare: Callable[[Sequence[Row]], list[Item[Any]]],
    belongs: Callable[[Row, Row], bool] | None = None,
) -> Iterator[Window]:
    """Prepare rows window by window.

    Args:
        rows: The rows; none is taken before the caller asks for its window.
        size: The size of windows.
        prepare: Makes the items of rows.
        belongs: Whether a row must be prepared together with the row before it; to know, this takes one row more than
            the window's.

    Returns:
        Every row in one window, in order.
    """
    source = _Source(rows, belongs)
    most = min(size.first, size.rows)
    while (window := _next(source, size, most, prepare)).rows:
        yield window
        most = min(most * GROWTH, size.rows)


def _next(source: _Source, size: Size, most: int, prepare: Callable[[Sequence[Row]], list[Item[Any]]]) -> Window:
    rows: list[Row] = []
    items: list[Item[Any]] = []
    tokens = 0
    while len(rows) < most and tokens < size.tokens and (block := source.take(min(size.at_once, most - len(rows)))):
        batch = prepare(block)
        rows += block
        items += batch
        tokens += sum(item.length for item in batch)
    return Window(rows, items)


class _Source:
    """The rows that are yet to come; ``take`` gives those that belong together at once."""

    def __init__(self, rows: Iterable[Row], belongs: Callable[[Row, Row], bool] | None) -> None:
        self._rows = iter(rows)
        self._belongs = belongs
        self._ahead: list[Row] = []

    def take(self, count: int) -> list[Row]:
        """The next ``count`` rows and those that belong to the last of them; fewer at the end."""
        rows = [*self._ahead, *islice(self._rows, count - len(self._ahead))]
        self._ahead = []
        if self._belongs is not None and rows:
            for row in self._rows:
                if not self._belongs(rows[-1], row):
                    self._ahead = [row]
                    break
                rows.append(row)
        return rows
