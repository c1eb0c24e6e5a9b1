"""Inputs that a graph is exported with, and compared with torch on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Texts of several lengths, told to read together and alone.
TEXTS = (
    "yes",
    "a short text of a few words",
    "The quick brown fox jumps over the lazy dog, and then it rests. " * 3,
    "one two three four five six seven eight nine ten " * 30,
)
Inputs = Mapping[str, Any]
"""Input of the graph -> array, in the order in which torch's module takes them."""
Compute = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Examples:
    """Batches of a graph's inputs. ``words``: their name in messages; ``example``: the batch that the exporter traces;
    ``axes``: input -> its axes of any length, with their names.
    """

    words: str
    example: Inputs
    axes: Mapping[str, Mapping[int, str]]
    batches: Sequence[Inputs]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the graph's inputs."""
        return tuple(self.example)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A graph that is to be made. ``file``: its name in the model's folder; ``compute``: what it computes of its
    inputs, by torch; ``examples``: the inputs; ``computes``: the kind of its outputs.
    """

    file: str
    compute: Compute
    examples: Examples
    computes: str
