"""Contenders measured round by round, and what is to be reached by one beside another."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Figures = dict[str, float]
Rounds = Mapping[str, Sequence[Figures]]


class MissingError(Exception):
    """A contender's library is not there; the text says why."""


@dataclass(frozen=True)
class Target:
    """``value``: what was measured, from the figures of each round; None where there is nothing to compare. ``reach``:
    None where the figure is only told.
    """

    words: str
    reach: float | None
    value: Callable[[Rounds], float | None]
    most: bool = False
    unit: str = "x"

    def met(self, value: float) -> bool | None:
        if self.reach is None:
            return None
        return value <= self.reach if self.most else value >= self.reach


@dataclass(frozen=True)
class Work:
    """``measures``: name -> what measures it once."""

    title: str
    measures: Mapping[str, Callable[[], Figures]]
    targets: Sequence[Target]


def ratio(ours: str, theirs: str, figure: str) -> Callable[[Rounds], float | None]:
    """The median over the rounds of what one has over what the other has."""
    return lambda rounds: _each(rounds, ours, theirs, figure, lambda mine, other: mine / other)


def above(ours: str, theirs: str, figure: str) -> Callable[[Rounds], float | None]:
    """The median over the rounds of what one has more than the other."""
    return lambda rounds: _each(rounds, ours, theirs, figure, lambda mine, other: mine - other)


def _each(
    rounds: Rounds, ours: str, theirs: str, figure: str, compared: Callable[[float, float], float]
) -> float | None:
    if ours not in rounds or theirs not in rounds:
        return None
    return statistics.median(
        compared(mine[figure], other[figure]) for mine, other in zip(rounds[ours], rounds[theirs], strict=False)
    )


def measured(work: Work, rounds: int, before: Rounds | None = None) -> dict[str, Any]:
    """Every round of every contender, after the rounds ``before``; one that fails is left out of the rest. An interrupt
    ends the rounds.
    """
    figures: dict[str, list[Figures]] = {name: list(each) for name, each in (before or {}).items()}
    failures: dict[str, str] = {}
    try:
        for number in range(rounds):
            for name, measure in work.measures.items():
                if name not in failures:
                    _one_round(number + 1, name, measure, figures, failures)
    except KeyboardInterrupt:
        print("interrupted: what was measured is kept", flush=True)
    return {
        "title": work.title,
        "rounds": figures,
        "contenders": {
            name: {figure: statistics.median(one[figure] for one in each) for figure in each[0]}
            for name, each in figures.items()
            if each
        },
        "failures": failures,
        "targets": [
            {
                "what": target.words,
                "reach": target.reach,
                "most": target.most,
                "unit": target.unit,
                "measured": round(value, 4),
                "met": target.met(value),
            }
            for target in work.targets
            if (value := target.value(figures)) is not None
        ],
    }


def _one_round(
    number: int,
    name: str,
    measure: Callable[[], Figures],
    figures: dict[str, list[Figures]],
    failures: dict[str, str],
) -> None:
    try:
        figures.setdefault(name, []).append(measure())
    except (MissingError, RuntimeError, OSError) as error:
        failures[name] = str(error)
        figures.pop(name, None)
    text = failures.get(name) or {figure: round(value, 1) for figure, value in figures[name][-1].items()}
    print(f"round {number}, {name}: {text}", flush=True)
