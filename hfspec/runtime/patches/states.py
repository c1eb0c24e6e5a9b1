"""Which patches are on for one predictor, and why."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import NamedTuple

from hfspec.errors import UsageError
from hfspec.runtime.patches.table import ALL, CHOICES, NONE, PATCHES

LOG = logging.getLogger("hfspec")


class State(NamedTuple):
    """Whether a patch is on, and why it is or is not."""

    on: bool
    why: str


class Patches:
    """``asked``: ``all`` or ``none``. Raises UsageError for anything else."""

    def __init__(self, asked: str = ALL) -> None:
        if asked not in CHOICES:
            raise UsageError(f"patches must be one of {', '.join(CHOICES)}, not {asked!r}.")
        self._asked = asked
        why = "Switched off by patches='none'." if asked == NONE else "This model has no use for it."
        self._states = dict.fromkeys(PATCHES, State(on=False, why=why))

    def states(self) -> dict[str, State]:
        """Of every patch, by its name."""
        return dict(self._states)

    def may(self, name: str) -> bool:
        """Whether the patch may be tried: it was not switched off, and was tested with the libraries that are here."""
        if self._asked == NONE:
            return False
        for package, (first, last) in PATCHES[name].tested.items():
            version = str(import_module(package).__version__)
            if not _numbers(first) <= _numbers(version) <= _numbers(last):
                span = first if first == last else f"{first} to {last}"
                self.leave(name, f"It was tested with {package} {span}, and {version} is installed.")
                return False
        return True

    def take(self, name: str, why: str) -> None:
        """The patch is on."""
        self._states[name] = State(on=True, why=why)

    def leave(self, name: str, why: str) -> None:
        """The patch is off, as it should be here."""
        if self._asked != NONE:
            self._states[name] = State(on=False, why=why)

    def fail(self, name: str, why: str) -> None:
        """The patch is off since it does not work here, which is worth a line in the log."""
        self.leave(name, why)
        LOG.warning("the patch %s is off, and the library's own way is taken: %s", name, why)


def _numbers(version: str) -> tuple[int, ...]:
    """The first two numbers of a version."""
    return tuple(int("".join(letter for letter in part if letter.isdigit()) or 0) for part in version.split(".")[:2])
