"""The differences of an answer from the expected one: numbers within a tolerance, everything else exactly."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from hfspec.ir.golden import Difference

LONGEST = 80


def differences(expected: Any, actual: Any, tolerance: float, apart: Collection[str] = ()) -> Iterator[Difference]:
    """Every difference between two plain values, in their order. ``apart``: keys that are new in each answer, which
    this does not compare. A nan equals nothing, a boolean no number, and lists of different lengths differ as a whole.
    """
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        yield from _of_mappings(expected, actual, tolerance, apart)
    elif isinstance(expected, list | tuple) and isinstance(actual, list | tuple):
        yield from _of_lists(expected, actual, tolerance, apart)
    elif _is_number(expected) and _is_number(actual):
        yield from _of_numbers(expected, actual, tolerance)
    elif type(expected) is not type(actual) or expected != actual:
        yield Difference((), _shown(expected), _shown(actual))


def _of_mappings(
    expected: Mapping[str, Any], actual: Mapping[str, Any], tolerance: float, apart: Collection[str]
) -> Iterator[Difference]:
    for key in (*expected, *(key for key in actual if key not in expected)):
        if key in apart:
            continue
        if key not in actual:
            yield Difference((key,), _shown(expected[key]), "nothing")
        elif key not in expected:
            yield Difference((key,), "nothing", _shown(actual[key]))
        else:
            yield from _inside(key, differences(expected[key], actual[key], tolerance, apart))


def _of_lists(
    expected: list[Any] | tuple[Any, ...],
    actual: list[Any] | tuple[Any, ...],
    tolerance: float,
    apart: Collection[str],
) -> Iterator[Difference]:
    if len(expected) != len(actual):
        yield Difference((), _counted(expected), _counted(actual))
        return
    for place, (one, other) in enumerate(zip(expected, actual, strict=True)):
        yield from _inside(place, differences(one, other, tolerance, apart))


def _inside(key: str | int, inner: Iterator[Difference]) -> Iterator[Difference]:
    for difference in inner:
        yield replace(difference, path=(key, *difference.path))


def _of_numbers(expected: float, actual: float, tolerance: float) -> Iterator[Difference]:
    if expected == actual:
        return
    size = abs(expected - actual)
    if not size <= tolerance:  # so that nan is caught
        yield Difference((), _shown(expected), _shown(actual), size if math.isfinite(size) else None)


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
