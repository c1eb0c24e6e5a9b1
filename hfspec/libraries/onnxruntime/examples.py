"""What a graph is made with, and held against torch on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Inputs = Mapping[str, Any]
"""Input of the graph -> array, in the order in which torch's module takes them."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Batches of a task's inputs. ``words``: what they are; ``example``: the batch that the exporter follows; ``axes``:
    of any length, with their names, the same of each input.
    """

    words: str
    example: Inputs
    axes: Mapping[int, str]
    batches: Sequence[Inputs]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the graph's inputs."""
        return tuple(self.example)
