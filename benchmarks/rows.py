"""A row of the table: who does which work, and what must be reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.measuring import Contender, Measured

PLAIN = "hfspec backend torch"
Found = Mapping[str, Measured]


@dataclass(frozen=True, slots=True)
class Target:
    """``value``: of what was measured, its figure. ``reach``: at least, or at most when ``most``."""

    words: str
    reach: float
    value: Callable[[Found], float]
    most: bool = False
    unit: str = "x"

    def met(self, figure: float) -> bool:
        return figure <= self.reach if self.most else figure >= self.reach


@dataclass(frozen=True, slots=True)
class Row:
    """``count``: rows of input, full and quick. ``same``: contender -> how far its numbers may lie from the first
    contender's; those not named are not compared. ``prepares``: (python, MODULE:FUNCTION, settings) to be called first.
    """

    name: str
    title: str
    count: int
    contenders: tuple[Contender, ...]
    targets: tuple[Target, ...]
    rounds: int = 5
    unit: str = "texts"
    same: Mapping[str, float] | None = None
    prepares: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    quick: bool = True
    note: str = ""


def times(slow: str, fast: str) -> Callable[[Found], float]:
    """How many times as long ``slow`` takes: the median over the rounds, each round's two being neighbours in time."""

    def value(figures: Found) -> float:
        pairs = zip(figures[slow].seconds, figures[fast].seconds, strict=True)
        return median(long / short for long, short in pairs)

    return value


def faster(than: str, reach: float, who: str = "hfspec") -> Target:
    return Target(f"{who} against {than}", reach, times(than, who))


def at_most(than: str, reach: float, who: str = "hfspec") -> Target:
    return Target(f"time of {who} against {than}", reach, times(who, than), most=True)
