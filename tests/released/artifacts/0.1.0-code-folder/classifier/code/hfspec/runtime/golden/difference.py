"""Where an answer differs from the one that was expected: numbers within a tolerance, everything else exactly."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

LONGEST = 80


@dataclass(frozen=True, slots=True)
class Difference:
    """``path``: keys and positions inside the answer. ``expected`` and ``found`` in words. ``size``: how far two
    numbers lie apart; None where something else differs, and where one of them is nan.
    """

    path: tuple[str | int, ...]
    expected: str
    found: str
    size: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "path": list(self.path)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Difference:
        return cls(tuple(value["path"]), value["expected"], value["found"], value["size"])


def differences(expected: Any, found: Any, tolerance: float, apart: Collection[str] = ()) -> Iterator[Difference]:
    """Every difference between two plain values, in their order. ``apart``: keys that each answer has anew, which are
    not compared. A nan equals nothing, a boolean no number, and lists of different lengths are not looked into.
    """
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        yield from _of_mappings(expected, found, tolerance, apart)
    elif isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        yield from _of_lists(expected, found, tolerance, apart)
    elif _is_number(expected) and _is_number(found):
        yield from _of_numbers(expected, found, tolerance)
    elif type(expected) is not type(found) or expected != found:
        yield Difference((), _shown(expected), _shown(found))


def _of_mappings(
    expected: Mapping[str, Any], found: Mapping[str, Any], tolerance: float, apart: Collection[str]
) -> Iterator[Difference]:
    for key in (*expected, *(key for key in found if key not in expected)):
        if key in apart:
            continue
        if key not in found:
            yield Difference((key,), _shown(expected[key]), "nothing")
        elif key not in expected:
            yield Difference((key,), "nothing", _shown(found[key]))
        else:
            yield from _inside(key, differences(expected[key], found[key], tolerance, apart))


def _of_lists(
    expected: list[Any] | tuple[Any, ...],
    found: list[Any] | tuple[Any, ...],
    tolerance: float,
    apart: Collection[str],
) -> Iterator[Difference]:
    if len(expected) != len(found):
        yield Difference((), _counted(expected), _counted(found))
        return
    for place, (one, other) in enumerate(zip(expected, found, strict=True)):
        yield from _inside(place, differences(one, other, tolerance, apart))


def _inside(key: str | int, inner: Iterator[Difference]) -> Iterator[Difference]:
    for difference in inner:
        yield replace(difference, path=(key, *difference.path))


def _of_numbers(expected: float, found: float, tolerance: float) -> Iterator[Difference]:
    if expected == found:
        return
    size = abs(expected - found)
    if not size <= tolerance:  # so that nan is caught
        yield Difference((), _shown(expected), _shown(found), size if math.isfinite(size) else None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _counted(value: list[Any] | tuple[Any, ...]) -> str:
    return f"a list of {len(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return _counted(value)
    if isinstance(value, Mapping):
        return f"a mapping with the keys {', '.join(map(str, value)) or '(none)'}"[:LONGEST]
    text = json.dumps(value, ensure_ascii=False)  # nan as NaN
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
