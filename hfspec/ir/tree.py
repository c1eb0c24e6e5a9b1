"""A spec as written: plain values after composition, and where each of them came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hfspec.ir.frozen import FrozenDict
from hfspec.ir.problem import KeyPath, Origin


@dataclass(frozen=True, slots=True)
class Tree:
    """The composed document.

    ``file`` is the spec's path as the user gave it. ``value`` is the composed document without its ``defaults``.
    ``origins`` has an entry for every key and list item in ``value``, at its key's position (the position of the key
    itself for a mapping's entry, of the item for a list's). ``texts`` has the source text of every plain value that
    YAML or Hydra reads as something other than text: ``0123`` for the number 123.
    """

    file: str
    value: FrozenDict
    origins: Mapping[KeyPath, Origin]
    texts: Mapping[KeyPath, str] = field(default_factory=dict)

    def origin(self, path: KeyPath) -> Origin:
        """Where the value at ``path`` was written, or its nearest ancestor that was; the file when none was."""
        for length in range(len(path), -1, -1):
            found = self.origins.get(path[:length])
            if found is not None:
                return found
        return Origin(file=self.file)
