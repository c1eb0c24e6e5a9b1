"""Prompts that joined a running batch together: the next tokens of their rows, their ends and their answers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from hfspec.runtime.generation.causal_generation import Asked, CausalGeneration, Continuation
from hfspec.runtime.generation.decoding import Rows
from hfspec.runtime.io.finite import NotFiniteError
from hfspec.runtime.scheduling.isolation import isolated


@dataclass(frozen=True, slots=True)
class Step:
    """A step's result for one prompt. ``tokens``: the next of its first answer; ``ended``: all its answers, when they
    have ended; ``error``: instead of them.
    """

    key: Hashable
    tokens: tuple[int, ...] = ()
    ended: tuple[Continuation, ...] | None = None
    error: Exception | None = None


@dataclass(slots=True)
class Cohort:
    """Prompts that joined together. ``width``: how many tokens they have, padding included; ``by_row``: whether every
    logits processor looks at a row by itself; ``drops``: whether a row may leave before the others have ended.
    """

    asked: list[Asked]
    rows: Rows
    config: Any
    processors: Any
    criteria: Any
    width: int
    by_row: bool
    drops: bool
    gone: set[Hashable] = field(default_factory=set)

    @property
    def answers(self) -> int:
        return self.asked[0].answers

    def choose(self, logits: Any) -> Iterator[Step]:
        """The next token of each row, from (rows, vocabulary)."""
        import torch

        while (row := self.rows.unusable(logits)) is not None:
            place = row // self.answers
            yield from self.fail(place, NotFiniteError(place))
            logits = logits.masked_fill(self.rows.ended[:, None], 0.0)  # nothing can be drawn from nan
        over = self.rows.ended.view(-1, self.answers).all(dim=1).tolist()
        ids = self.rows.ids
        scores = yield from self._each(
            lambda rows: self.processors(ids[rows], logits[rows]), lambda: torch.zeros_like(logits)
        )
        longer = self.rows.add(self.rows.chosen(scores))
        ended = yield from self._each(lambda rows: self.criteria(longer[rows], None), self.rows.ended.clone)
        self.rows.end(ended)
        last = self.rows.ids[:: self.answers, -1].tolist()
        for one, token, is_over in zip(self.asked, last, over, strict=True):
            if not is_over and one.key not in self.gone:
                yield Step(one.key, (token,))

    def fail(self, place: int, error: Exception) -> Iterator[Step]:
        """End the prompt at this place with an error."""
        if self.asked[place].key not in self.gone:
            yield Step(self.asked[place].key, error=error)
        self.end(self.asked[place].key)

    def _each(self, work: Callable[[Any], Any], other: Callable[[], Any]) -> Generator[Step, None, Any]:
        """The work's result for each row, or ``other``'s where the work fails, which ends the prompt."""
        every = range(len(self.asked))
        groups = [[place] for place in every] if self.by_row else [list(every)]

        def result(part: Sequence[list[int]]) -> Any:
            return work(slice(None) if len(part) == len(groups) else self.rows_of(chain(*part)))

        done, failed = isolated(groups, result)
        if not failed:
            return done[0][1]
        whole = other()
        for part, values in done:
            whole[self.rows_of(chain(*part))] = values
        for group, error in failed:
            for place in group:
                yield from self.fail(place, error)
        return whole

    def rows_of(self, places: Iterable[int]) -> list[int]:
        """The rows of the prompts at these places."""
        return [row for place in places for row in range(place * self.answers, (place + 1) * self.answers)]

    def end(self, key: Hashable) -> None:
        """End this prompt's answers, for which nobody waits any more."""
        for place, one in enumerate(self.asked):
            if one.key == key:
                self.gone.add(key)
                self.rows.ended[place * self.answers : (place + 1) * self.answers] = True

    def leave(self, runner: CausalGeneration) -> tuple[list[int], list[Step]]:
        """Let the prompts go whose answers have ended; returns the places of the rows that stay, and the answers."""
        over = self.rows.ended.view(-1, self.answers).all(dim=1).tolist()
        if not (all(over) or (self.drops and any(over))):
            return list(range(len(self.rows.ids))), []
        steps = []
        answers = self.answers
        for place, one in enumerate(self.asked):
            if over[place] and one.key not in self.gone:
                lines = self.rows.ids[place * answers : (place + 1) * answers, self.width :].tolist()
                steps.append(_answered(runner, one, lines, self.config))
        stay = self.rows_of(place for place, is_over in enumerate(over) if not is_over)
        self.asked = [one for one, is_over in zip(self.asked, over, strict=True) if not is_over]
        self.rows.leave(answers)
        return stay, steps


def _answered(runner: CausalGeneration, one: Asked, lines: Sequence[list[int]], config: Any) -> Step:
    """The step with which a prompt's answers end."""
    try:
        answers = [runner.continuation(one.prompt, line, config, one.settings) for line in lines]
    except Exception as error:  # noqa: BLE001 - a fault of the libraries ends one prompt, not those beside it
        return Step(one.key, error=error)
    return Step(one.key, ended=tuple(answers))
