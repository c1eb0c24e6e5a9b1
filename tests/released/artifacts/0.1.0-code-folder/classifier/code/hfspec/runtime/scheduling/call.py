"""One call of a predictor: its rows window by window, through the task's steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from threading import Lock
from typing import Any

from hfspec.runtime.family import Family, Row
from hfspec.runtime.scheduling import batching
from hfspec.runtime.scheduling.batching import Budget, Item
from hfspec.runtime.scheduling.windows import FULL, Size, Window, windows
from hfspec.runtime.settings import Settings


class Call:
    """``tokenizing``: held while rows are made ready, since a tokenizer keeps how it truncates, so that two calls at
    once would mix theirs.
    """

    def __init__(self, family: Family, settings: Settings, tokenizing: Lock) -> None:
        self.family = family
        self.settings = settings
        self._tokenizing = tokenizing
        self._budget = Budget(family.budget(settings))

    def results(self, rows: Iterable[Row], window: int = FULL, first: int = FULL) -> Iterator[list[Any]]:
        """The results of each window of at most ``window`` rows, one a row, in order; the first window has ``first``.

        Raises InputError and OutOfMemoryError naming the row.
        """
        family = self.family
        size = Size(window, family.look_ahead * self._budget.tokens, family.rows_at_once, first)
        for found in windows(rows, size, self._prepare, family.belonging(self.settings)):
            yield self._joined(found)

    def _prepare(self, rows: Sequence[Row]) -> list[Item[Any]]:
        with self._tokenizing:
            return self.family.preprocess(rows, self.settings)

    def _launch(self, batch: Sequence[Item[Any]]) -> Callable[[], Sequence[Any]]:
        made = self.family.run(batch, self.settings)
        return partial(self.family.read, made, batch, self.settings)

    def _joined(self, window: Window) -> list[Any]:
        """One a row, whatever the number of items that a row makes."""
        family = self.family
        parts = batching.run(window.items, self._budget, self._launch, family.ahead, family.pass_tokens)
        of_row: dict[int, list[Any]] = {row.number: [] for row in window.rows}
        for item, part in zip(window.items, parts, strict=True):
            of_row[item.row].append(part)
        return [family.joined(of_row[row.number], self.settings) for row in window.rows]
