"""Inputs that a graph is exported with, and compared with torch on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Inputs = Mapping[str, Any]
"""Input of the graph -> array, in the order in which torch's module takes them."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Batches of a task's inputs. ``words``: their name in messages; ``example``: the batch that the exporter traces;
    ``axes``: the axes of any length, with their names, the same of each input.
    """

    words: str
    example: Inputs
    axes: Mapping[int, str]
    batches: Sequence[Inputs]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the graph's inputs."""
        return tuple(self.example)
