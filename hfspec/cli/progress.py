"""How far a long piece of work is, on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from hfspec.ir.progress import Progress, Silent
from hfspec.report.sizes import in_bytes

if TYPE_CHECKING:
    from rich.progress import TaskID


def tell(text: str) -> None:
    """Write a line to stderr; nothing where stderr is closed.

    Args:
        text: The line.
    """
    if sys.stderr is not None:
        print(text, file=sys.stderr, flush=True)


class Lines:
    """A line when work starts; nothing more, so that logs stay short."""

    def start(self, what: str, total_bytes: int | None) -> None:
        size = "" if total_bytes is None else f" ({in_bytes(total_bytes)})"
        print(f"{what}{size}", file=sys.stderr, flush=True)

    def advance(self, bytes_done: int) -> None:
        """Not told in lines."""

    def finish(self) -> None:
        """Not told in lines."""


class Bar:
    """A progress bar with bytes, speed and time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, console=Console(stderr=True), transient=True)
        self._current: TaskID | None = None

    def start(self, what: str, total_bytes: int | None) -> None:
        self._bars.start()
        self._current = self._bars.add_task(what, total=total_bytes)

    def advance(self, bytes_done: int) -> None:
        if self._current is not None:
            self._bars.advance(self._current, bytes_done)

    def finish(self) -> None:
        if self._current is not None:
            self._bars.remove_task(self._current)
            self._current = None
        self._bars.stop()


def for_terminal(*, quiet: bool) -> Progress:
    """Choose how progress is told.

    Args:
        quiet: Whether nothing is to be told.

    Returns:
        A bar on a terminal that can draw one, lines elsewhere; silence where asked, and where stderr is closed.
    """
    if quiet or sys.stderr is None:
        return Silent()
    can_draw = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return Bar() if can_draw else Lines()
