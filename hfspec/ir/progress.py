"""How long work tells how far it is; the command line shows it, the stages only report."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told of one piece of work at a time: start, any number of advances, finish."""

    def start(self, what: str, total_bytes: int | None) -> None:
        """Work begins; ``total_bytes`` is None when its size is not known."""

    def advance(self, bytes_done: int) -> None:
        """So many more bytes are done."""

    def finish(self) -> None:
        """The work is done."""


class Silent:
    """Says nothing."""

    def start(self, what: str, total_bytes: int | None) -> None: ...

    def advance(self, bytes_done: int) -> None: ...

    def finish(self) -> None: ...
