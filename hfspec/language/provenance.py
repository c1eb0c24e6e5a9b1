"""Where each value of a composed document was written, found by laying the documents over each other as Hydra does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hfspec.ir.frozen import thaw
from hfspec.ir.problem import KeyPath, Origin

MISSING = "???"
OriginOf = Callable[[KeyPath], Origin | None]


class Layers:
    """``value`` is the document so far, in plain values; ``origins``, ``texts`` and ``packages`` as in
    hfspec.ir.tree.Tree.
    """

    def __init__(self) -> None:
        self.value: dict[str, Any] = {}
        self.origins: dict[KeyPath, Origin] = {}
        self.texts: dict[KeyPath, str] = {}
        self.packages: dict[KeyPath, Origin] = {}

    def lay(self, path: KeyPath, value: Any, origin_of: OriginOf, texts: Mapping[KeyPath, str]) -> None:
        """Merge a value in at a path: mappings key by key, anything else as a whole.

        Args:
            path: The path.
            value: The value.
            origin_of: Tells the origin of what is at a path inside ``value``.
            texts: The written text of values, by their paths inside ``value``.
        """
        self._make_parents(path, origin_of)
        self._merge(path, (), value, origin_of, texts)

    def remove(self, path: KeyPath) -> None:
        """Take a value out."""
        self._forget(path)
        parent = self.get(path[:-1])
        if isinstance(parent, dict):
            parent.pop(path[-1], None)
        elif isinstance(parent, list) and isinstance(path[-1], int) and path[-1] < len(parent):
            del parent[path[-1]]

    def get(self, path: KeyPath) -> Any:
        """The value at a path; None when there is none."""
        value: Any = self.value
        for part in path:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def _make_parents(self, path: KeyPath, origin_of: OriginOf) -> None:
        for length in range(1, len(path)):
            if not isinstance(self.get(path[:length]), dict | list):
                self._set(path[:length], {})
                self._note(path[:length], origin_of(()))

    def _merge(
        self, path: KeyPath, inner: KeyPath, value: Any, origin_of: OriginOf, texts: Mapping[KeyPath, str]
    ) -> None:
        there = self.get(path)
        if isinstance(value, Mapping) and (isinstance(there, dict) or not path):
            self._note(path, origin_of(inner))
            for key, item in value.items():
                self._merge((*path, key), (*inner, key), item, origin_of, texts)
        elif value != MISSING or there is None:
            self._replace(path, inner, value, origin_of, texts)

    def _replace(
        self, path: KeyPath, inner: KeyPath, value: Any, origin_of: OriginOf, texts: Mapping[KeyPath, str]
    ) -> None:
        self._forget(path)
        self._set(path, thaw(value))
        self._note_all(path, inner, value, origin_of, texts)

    def _note_all(
        self, path: KeyPath, inner: KeyPath, value: Any, origin_of: OriginOf, texts: Mapping[KeyPath, str]
    ) -> None:
        self._note(path, origin_of(inner))
        if inner in texts:
            self.texts[path] = texts[inner]
        items: Any = ()
        if isinstance(value, Mapping):
            items = value.items()
        elif isinstance(value, list | tuple):
            items = enumerate(value)
        for key, item in items:
            self._note_all((*path, key), (*inner, key), item, origin_of, texts)

    def _set(self, path: KeyPath, value: Any) -> None:
        parent = self.get(path[:-1]) if path[:-1] else self.value
        if isinstance(parent, dict):
            parent[str(path[-1])] = value
        elif isinstance(parent, list) and isinstance(path[-1], int) and path[-1] < len(parent):
            parent[path[-1]] = value

    def _note(self, path: KeyPath, origin: Origin | None) -> None:
        if origin is not None:
            self.origins[path] = origin

    def _forget(self, path: KeyPath) -> None:
        for table in (self.origins, self.texts):
            for place in [place for place in table if place[: len(path)] == path]:
                del table[place]
