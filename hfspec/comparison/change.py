"""Changes between two accounts of a deployment. An account maps a group to its value: a mapping, or one plain value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from hfspec.ir.frozen import FrozenDict, Json

Kind: TypeAlias = Literal["added", "removed", "changed"]
# In the order in which a reviewer reads them; a group that is not listed comes last.
GROUPS = (
    "name",
    "task",
    "model",
    "adapter",
    "components",
    "convert",
    "prompt template",
    "chat template",
    "labels",
    "model_config",
    "generation defaults",
    "defaults of hfspec",
    "signature",
    "dtype",
    "outputs",
    "save mode",
    "code files",
    "licence",
    "licence policy",
    "metadata",
    "input example",
    "golden",
    "embedding space",
    "library versions",
    "size",
    "weights",
    "files",
)
PATH_GROUPS = ("files", "code files")
ORDERED = (("signature", "inputs"), ("signature", "outputs"))
_OPPOSITE: Mapping[Kind, Kind] = {"added": "removed", "removed": "added", "changed": "changed"}
_ABSENT: Any = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs. ``group`` is one of GROUPS, or a name that only a newer format knows; ``key`` is the
    dotted path inside it, empty where the group is one value. ``before`` is None where ``kind`` is added, ``after``
    where it is removed.
    """

    group: str
    key: str
    before: Json
    after: Json
    kind: Kind

    def mirrored(self) -> Change:
        """Return this change as seen from the other side."""
        return Change(self.group, self.key, self.after, self.before, _OPPOSITE[self.kind])


def changes(before: Mapping[str, Json], after: Mapping[str, Json]) -> tuple[Change, ...]:
    """Compare two accounts, group by group. The order of a mapping's keys is no difference.

    Args:
        before: The account of the one side.
        after: The account of the other side.

    Returns:
        The differences, their keys sorted. A part that is on one side only is one change, whatever it holds.
    """
    differences = [*_between((), before, after), *_reordered(before, after)]
    return tuple(sorted(differences, key=lambda change: _rank(change.group)))


def same(before: Any, after: Any) -> bool:
    """Compare two JSON values.

    Args:
        before: A JSON value.
        after: Another.

    Returns:
        Whether they mean the same: 1 is 1.0, and true is not 1.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return before.keys() == after.keys() and all(same(before[key], after[key]) for key in before)
    if isinstance(before, tuple) and isinstance(after, tuple):
        return len(before) == len(after) and all(map(same, before, after))
    return isinstance(before, bool) == isinstance(after, bool) and bool(before == after)


def _between(path: tuple[str, ...], before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for key in sorted({*before, *after}, key=_natural):
        here, old, new = (*path, key), before.get(key, _ABSENT), after.get(key, _ABSENT)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _between(here, old, new)
        elif old is _ABSENT:
            yield from _alone(here, new, "added")
        elif new is _ABSENT:
            yield from _alone(here, old, "removed")
        elif not same(old, new):
            yield Change(here[0], _dotted(here), old, new, "changed")


def _reordered(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    """The columns of a signature are the one mapping whose order is seen by callers."""
    for group, side in ORDERED:
        old, new = (account.get(group, {}).get(side) for account in (before, after))
        if isinstance(old, Mapping) and isinstance(new, Mapping) and old.keys() == new.keys() and [*old] != [*new]:
            yield Change(group, f"{side} (order)", tuple(old), tuple(new), "changed")


def _alone(path: tuple[str, ...], value: Any, kind: Kind) -> Iterator[Change]:
    """A part of one side only; a whole group is told key by key, since its name alone says nothing."""
    if len(path) == 1 and isinstance(value, FrozenDict):
        for key in sorted(value, key=_natural):
            yield from _alone((*path, key), value[key], kind)
    elif kind == "added":
        yield Change(path[0], _dotted(path), None, value, kind)
    else:
        yield Change(path[0], _dotted(path), value, None, kind)


def _dotted(path: tuple[str, ...]) -> str:
    group, *keys = path
    if group in PATH_GROUPS:
        return "/".join(keys)
    return ".".join(json.dumps(key, ensure_ascii=False) if "." in key or not key else key for key in keys)


def _natural(key: str) -> tuple[int, int, str]:
    """``2`` before ``10``, numbers before names."""
    return (0, int(key), key) if key.isdecimal() and len(key) < 20 else (1, 0, key)


def _rank(group: str) -> int:
    return GROUPS.index(group) if group in GROUPS else len(GROUPS)
