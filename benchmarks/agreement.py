"""Whether contenders gave the same answers: a comparison of wrong answers is worth nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.measuring import Measured


def disagreements(same: Mapping[str, float], figures: Mapping[str, Measured]) -> list[str]:
    """A line for each contender whose answers are not those of the first, up to its tolerance."""
    first = next(iter(figures))
    lines = []
    for name, tolerance in same.items():
        differing = _differing(figures[first].said, figures[name].said, tolerance)
        if differing:
            lines.append(f"{name} differs from {first} in {differing}")
    return lines


def _differing(ours: Any, theirs: Any, tolerance: float) -> str:
    if len(ours) != len(theirs):
        return f"the number of answers: {len(ours)} and {len(theirs)}"
    others = [place for place, pair in enumerate(zip(ours, theirs, strict=True)) if not _equal(*pair, tolerance)]
    # One near tie may fall the other way in another dtype; where the tolerance is coarse, one row in fifty may.
    allowed = len(ours) // 50 if tolerance > 0.01 else 0
    if len(others) <= allowed:
        return ""
    return (
        f"{len(others)} of {len(ours)} rows, such as {others[0]}: {ours[others[0]]!r:.80} and {theirs[others[0]]!r:.80}"
    )


def _equal(ours: Any, theirs: Any, tolerance: float) -> bool:
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_equal, ours, theirs, [tolerance] * len(ours)))
    if isinstance(ours, float | int) and isinstance(theirs, float | int):
        return abs(ours - theirs) <= tolerance
    return bool(ours == theirs)
