"""A spec as written: plain values after composition, and where each of them came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hfspec.ir.frozen import FrozenDict
from hfspec.ir.problem import KeyPath, Origin


@dataclass(frozen=True, slots=True)
class Tree:
    """The composed document.

    ``file`` is the spec's path as the user gave it. ``value`` is the composed document without its ``defaults``.
    ``origins`` has an entry for every key and list item in ``value``, at its key's position (the position of the key
    itself for a mapping's entry, of the item for a list's). ``texts`` has the source text of every plain value that
    YAML or Hydra reads as something other than text: ``0123`` for the number 123. ``packages`` has the files whose keys
    Hydra put below the top level, each by the path under which they are. ``hidden`` has the path of each value that was
    taken from the environment, with the interpolation that took it, which is shown in its place.
    """

    file: str
    value: FrozenDict
    origins: Mapping[KeyPath, Origin]
    texts: Mapping[KeyPath, str] = field(default_factory=dict)
    packages: Mapping[KeyPath, Origin] = field(default_factory=dict)
    hidden: Mapping[KeyPath, str] = field(default_factory=dict)

    def at(self, path: KeyPath) -> Any:
        """The value at a path; None when there is none."""
        value: Any = self.value
        for part in path:
            if isinstance(value, Mapping):
                value = value.get(part)
            elif isinstance(value, tuple) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def origin(self, path: KeyPath) -> Origin:
        """Where the value at ``path`` was written, or its nearest ancestor that was; the file when none was."""
        for length in range(len(path), -1, -1):
            origin = self.origins.get(path[:length])
            if origin is not None:
                return origin
        return Origin(file=self.file)
