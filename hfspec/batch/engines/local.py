"""The engine of this machine: this process makes the parts, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hfspec.batch.work import Handed, Made, Seen, Work


class Local:
    """A worker in this process."""

    def __init__(self, work: Work) -> None:
        self._worker = work.begin()

    @property
    def about(self) -> dict[str, Any]:
        """``Worker.about``."""
        return self._worker.about

    def make(self, handed: Iterator[Handed], count: int, tell: Callable[[Seen], None]) -> Iterator[Made]:
        """Each part, one after the other."""
        for each in handed:
            yield self._worker.make(each, tell)

    def close(self) -> None:
        """Do nothing: the engine has no processes to end."""
