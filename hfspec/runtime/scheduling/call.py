"""One call of a predictor: its rows window by window, through the task's steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from threading import Lock
from typing import Any

from hfspec.errors import RowError
from hfspec.inputs.row import Row
from hfspec.runtime.io import finite
from hfspec.runtime.runner import Runner
from hfspec.runtime.scheduling import batching
from hfspec.runtime.scheduling.batching import Budget, Item
from hfspec.runtime.scheduling.windows import FULL, Size, Window, windows
from hfspec.settings.precedence import Settings


class Call:
    """One call. ``tokenizing``: its lock over the tokenizer, which keeps how it truncates, so that two calls at once
    would mix theirs. ``refused``: takes the errors of rows that cannot be answered, by their numbers, until their
    window is done; None: the first such row ends the call. ``tokens``: how many the model has read, padding apart.
    """

    def __init__(
        self, runner: Runner, settings: Settings, tokenizing: Lock, refused: dict[int, RowError] | None = None
    ) -> None:
        self.runner = runner
        self.settings = settings
        self.refused = refused
        self.tokens = 0
        self._tokenizing = tokenizing
        self._budget = Budget(runner.budget(settings))

    def results(self, rows: Iterable[Row], window: int = FULL, first: int = FULL) -> Iterator[list[Any]]:
        """The results of each window of at most ``window`` rows, one a row, in order; the first window has ``first``.
        Where the call takes refused rows, the result of such a row is its error.

        Raises RowError naming the row.
        """
        runner = self.runner
        size = Size(window, runner.look_ahead * self._budget.tokens, runner.rows_at_once, first)
        for batch in windows(rows, size, self.prepare, self._belonging()):
            yield self._row_results(batch)

    def _belonging(self) -> Callable[[Row, Row], bool] | None:
        """The runner's ``belonging``, but a refused row, which has no values, belongs to both its neighbours."""
        belongs, refused = self.runner.belonging(self.settings), self.refused
        if belongs is None or refused is None:
            return belongs
        return lambda before, row: before.number in refused or row.number in refused or belongs(before, row)

    def lines(self, results: Sequence[Any]) -> list[int]:
        """How many lines each result has in the standard table."""
        return [len(self.runner.standard([result], self.settings).rows) for result in results]

    def prepare(self, rows: Sequence[Row]) -> list[Item[Any]]:
        """The items of the rows; raises RowError, or puts it into ``refused`` where the call takes refused rows."""
        with self._tokenizing:
            if self.refused is None:
                return self.runner.preprocess(rows, self.settings)
            return self._prepare_or_refuse([row for row in rows if row.number not in self.refused], self.refused)

    def _prepare_or_refuse(self, rows: Sequence[Row], refused: dict[int, RowError]) -> list[Item[Any]]:
        """The items of the rows that can be made ready; the others' errors are put into ``refused``."""
        if not rows:
            return []
        try:
            return self.runner.preprocess(rows, self.settings)
        except RowError:
            if self.runner.belonging(self.settings) is not None:
                return self._prepare_without_wrong(rows, refused)
            return [item for row in rows for item in self._prepare_without_wrong([row], refused)]

    def _prepare_without_wrong(self, rows: Sequence[Row], refused: dict[int, RowError]) -> list[Item[Any]]:
        """The items of rows that belong together; tries again without each row that turns out to be wrong."""
        while rows:
            try:
                return self.runner.preprocess(rows, self.settings)
            except RowError as error:
                number = rows[0].number if error.row is None else error.row
                refused[number] = error
            rows = [row for row in rows if row.number != number]
        return []

    def launch(self, batch: Sequence[Item[Any]]) -> Callable[[], Sequence[Any]]:
        """Begin the batch's forward pass; returns a function that waits for its results. Raises RowError."""
        with self._named(batch):
            output = self.runner.run(batch, self.settings)
        return partial(self._read, output, batch)

    def _read(self, output: Any, batch: Sequence[Item[Any]]) -> Sequence[Any]:
        with self._named(batch):
            return self.runner.read(output, batch, self.settings)

    def _named(self, batch: Sequence[Item[Any]]) -> AbstractContextManager[None]:
        return finite.named(self.runner.dtype, [item.row for item in batch])

    def _row_results(self, window: Window) -> list[Any]:
        """The results of a window's rows, one a row, whatever the number of items that a row has."""
        runner = self.runner
        self.tokens += sum(item.length for item in window.items)
        parts = batching.run(
            window.items, self._budget, self.launch, runner.ahead, runner.pass_tokens, refused=self.refused
        )
        of_row: dict[int, list[Any]] = {row.number: [] for row in window.rows}
        for item, part in zip(window.items, parts, strict=True):
            of_row[item.row].append(part)
        refused = self.refused or {}
        return [
            refused.pop(row.number) if row.number in refused else runner.joined(of_row[row.number], self.settings)
            for row in window.rows
        ]
