"""A golden example: what predict is given, and the answer that must come back. The runtime reads it, so no pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hfspec.ir.field_types import check_fields
from hfspec.ir.frozen import FrozenDict, Json, freeze, thaw
from hfspec.ir.problem import dotted

INPUT_EXAMPLE = "input_example.json"
GOLDEN = "golden.json"


@dataclass(frozen=True, slots=True)
class Golden:
    """``output``: the answer as JSON, in the form that predict gives unless told otherwise. ``tolerance``: the largest
    absolute difference of numbers; None for that of the deployment's dtype.
    """

    input: Json
    output: Json
    params: FrozenDict = field(default_factory=FrozenDict)
    tolerance: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {key: thaw(getattr(self, key)) for key in self.__slots__}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Golden:
        """The inverse of to_json; raises TypeError on any other shape."""
        golden = cls(**{key: freeze(item) for key, item in value.items()})
        check_fields(golden)
        return golden


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


@dataclass(frozen=True, slots=True)
class Fault:
    """An example that fails. ``golden``: its place among them, counted from 0; None for the input example.

    ``reason``: why there is no answer. Where there is one, ``differences``: the greatest few, ``count``: of how many,
    and the ``tolerance`` they were held to.
    """

    golden: int | None
    reason: str = ""
    differences: tuple[Difference, ...] = ()
    count: int = 0
    tolerance: float = 0.0

    def __str__(self) -> str:
        if self.golden is None:
            return f"input_example: {self.reason}"
        place = f"golden[{self.golden}]"
        lines = [line(difference, place, self.tolerance) for difference in self.differences]
        more = [f"{place}: {self.count - len(lines)} more differences"] if self.count > len(lines) else []
        return "\n".join([f"{place}: {self.reason}"] if self.reason else [*lines, *more])

    def to_json(self) -> dict[str, Any]:
        own = {"golden": self.golden, "reason": self.reason, "count": self.count, "tolerance": self.tolerance}
        return {**own, "differences": [difference.to_json() for difference in self.differences]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Fault:
        differences = tuple(Difference.from_json(difference) for difference in value["differences"])
        return cls(**{**value, "differences": differences})


def line(difference: Difference, place: str, tolerance: float) -> str:
    """A difference on one line."""
    where = dotted((place, "output", *difference.path))
    return f"{where}: expected {difference.expected}, found {apart(difference, tolerance)}"


def apart(difference: Difference, tolerance: float) -> str:
    """The value found and, for numbers, how far off it is."""
    if difference.size is None:
        return difference.found
    return f"{difference.found} (difference {difference.size:.2g}, tolerance {tolerance:g})"
