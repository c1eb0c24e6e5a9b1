"""How far a batch is, on stderr: a bar on a terminal, elsewhere a line now and then, of text or of JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from hfspec.cli.progress import tell

if TYPE_CHECKING:
    from hfspec.batch.run import Told

EVERY = 10.0  # seconds between two lines


class Progress(StrEnum):
    """How progress is told."""

    auto = "auto"
    bar = "bar"
    lines = "lines"
    json = "json"
    none = "none"


@dataclass
class Rate:
    """The speed of this run. ``first``: the progress before it began."""

    began: float = field(default_factory=time.monotonic)
    first: Told | None = None

    def of(self, progress: Told) -> dict[str, float | int | None]:
        """The figures of a moment; ``seconds_left`` is None until it can be told."""
        first = self.first = self.first or progress
        seconds = max(time.monotonic() - self.began, 1e-9)
        share = progress.done - first.done
        remaining = seconds * (1 - progress.done) / share if share > 0 else None
        return {
            "rows": progress.rows,
            "errors": progress.errors,
            "rows_per_second": round((progress.rows - first.rows) / seconds, 1),
            "tokens_per_second": round(progress.tokens / seconds, 1),
            "done": round(progress.done, 4),
            "seconds_left": None if remaining is None else round(remaining),
        }


def shown(how: Progress) -> Callable[[Told], None]:
    """The function that shows a job's progress in this way; with ``auto`` a bar where stderr is a terminal that can
    draw one.
    """
    if how is Progress.auto:
        can_draw = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        how = Progress.bar if can_draw else Progress.lines
    if how is Progress.bar:
        return _bar()
    if how is Progress.none:
        return lambda _: None
    return _lines(as_json=how is Progress.json)


def _lines(*, as_json: bool) -> Callable[[Told], None]:
    rate, last = Rate(), [0.0]

    def line(progress: Told) -> None:
        figures = rate.of(progress)
        now = time.monotonic()
        if now - last[0] >= EVERY:
            last[0] = now
            tell(json.dumps(figures) if as_json else in_words(figures))

    return line


def in_words(figures: dict[str, float | int | None]) -> str:
    """The figures as one line."""
    remaining = figures["seconds_left"]
    more = "" if remaining is None else f", {remaining} s left"
    return (
        f"{figures['rows']} rows, {figures['errors']} errors, {figures['rows_per_second']} rows/s,"
        f" {figures['tokens_per_second']} tokens/s, {100 * (figures['done'] or 0):.1f} %{more}"
    )


def _bar() -> Callable[[Told], None]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    bars = Bars(BarColumn(), TextColumn("{task.description}"), console=Console(stderr=True), transient=True)
    bars.start()
    task, rate = bars.add_task("", total=1.0), Rate()

    def draw(progress: Told) -> None:
        bars.update(task, completed=progress.done, description=in_words(rate.of(progress)))
        if progress.done >= 1:
            bars.stop()

    return draw
