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


class Of:
    """Tells ``other`` of the pieces of work whose name ends so, and of no other."""

    def __init__(self, ending: str, other: Progress) -> None:
        self._ending, self._other, self._told = ending, other, other

    def start(self, what: str, total_bytes: int | None) -> None:
        self._told = self._other if what.endswith(self._ending) else Silent()
        self._told.start(what, total_bytes)

    def advance(self, bytes_done: int) -> None:
        self._told.advance(bytes_done)

    def finish(self) -> None:
        self._told.finish()


class Silent:
    """Says nothing."""

    def start(self, what: str, total_bytes: int | None) -> None: ...

    def advance(self, bytes_done: int) -> None: ...

    def finish(self) -> None: ...
