"""The running batch: prompts join it, make their tokens a step at a time, and leave with their answers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import accumulate
from typing import Any

from hfspec.runtime.generation.causal_generation import Asked, CausalGeneration
from hfspec.runtime.generation.prefix_cache import PrefixCache
from hfspec.runtime.generation.roomy_cache import make_room
from hfspec.runtime.generation.running_batch.cohort import Cohort, Step
from hfspec.runtime.generation.running_batch.joining import NotMergeableError, read_prompts
from hfspec.runtime.generation.running_batch.rows import RunningRows
from hfspec.runtime.generation.running_batch.stepping import read_last_tokens
from hfspec.runtime.scheduling.isolation import isolated


class RunningBatch:
    """Prompts that the model continues. ``prefixes``: the cache of their beginnings. Threads must not share a batch."""

    def __init__(self, runner: CausalGeneration, prefixes: PrefixCache | None = None) -> None:
        self.runner = runner
        self.prefixes = PrefixCache(0) if prefixes is None else prefixes
        self._cohorts: list[Cohort] = []
        self._rows: RunningRows | None = None

    def __len__(self) -> int:
        """How many rows the next step computes."""
        return sum(len(cohort.rows.ids) for cohort in self._cohorts)

    @property
    def tokens(self) -> int:
        """How many tokens the rows have, padding counted."""
        return 0 if self._rows is None else int(self._rows.mask.numel())

    def join(self, prompts: Sequence[Asked]) -> list[Step]:
        """Read prompts of the same settings, but for their seeds, and make the first token of each.

        Raises:
            NotMergeableError: For a model whose rows cannot be put beside others.
        """
        import torch

        steps: list[Step] = []
        for together in self.prefixes.parts(prompts):
            done, failed = isolated(
                together, lambda part: read_prompts(self.runner, self.prefixes, part), passes=(NotMergeableError,)
            )
            steps += [Step(one.key, error=error) for one, error in failed]
            for part, state in done:
                with torch.inference_mode(), self.runner.turn:
                    self._keep(part, state.rows.cache)
                    steps += state.cohort.choose(state.logits)
                    self._merge(state.cohort, state.rows)
        with torch.inference_mode(), self.runner.turn:
            return [*steps, *self._leave()]

    def step(self) -> list[Step]:
        """Make the next token of every row. A prompt at which the model fails ends with the error; the others go on."""
        import torch

        assert self._rows is not None, "a batch without prompts takes no step"
        with torch.inference_mode(), self.runner.turn:
            sizes = [len(cohort.rows.ids) for cohort in self._cohorts]
            prompts = [
                (cohort, place, [first + row for row in cohort.rows_of([place])])
                for cohort, first in zip(self._cohorts, accumulate(sizes, initial=0), strict=False)
                for place in range(len(cohort.asked))
            ]
            last = torch.cat([cohort.rows.ids[:, -1:] for cohort in self._cohorts])
            logits, failed = read_last_tokens(self.runner.model, self._rows, last, [rows for _, _, rows in prompts])
            steps: list[Step] = []
            for index, error in failed:
                cohort, place, _ = prompts[index]
                steps += cohort.fail(place, error)
            if logits is None:
                self.clear()
                return steps
            self._rows.lengthen()
            for cohort, mine in zip(self._cohorts, logits.split(sizes), strict=True):
                steps += cohort.choose(mine)
            return [*steps, *self._leave()]

    def drop(self, key: Hashable) -> None:
        """Make no further token for this prompt; its rows leave at the next step."""
        import torch

        with torch.inference_mode():
            for cohort in self._cohorts:
                cohort.end(key)

    def clear(self) -> list[Hashable]:
        """Give up all prompts; returns their keys."""
        keys = [one.key for cohort in self._cohorts for one in cohort.asked if one.key not in cohort.gone]
        self._cohorts, self._rows = [], None
        return keys

    def _keep(self, prompts: Sequence[Asked], cache: Any) -> None:
        """Keep the prompts' keys and values, for prompts that begin alike."""
        width = max(len(one.prompt.ids) for one in prompts)
        if not self.prefixes.most or any(layer.keys.shape[-2] != width for layer in cache.layers):
            return
        for place, one in enumerate(prompts):
            row, first = place * one.answers, width - len(one.prompt.ids)
            layers = [(layer.keys[row, :, first:], layer.values[row, :, first:]) for layer in cache.layers]
            self.prefixes.keep(one.prompt.ids, layers)

    def _merge(self, cohort: Cohort, rows: RunningRows) -> None:
        """Put a cohort's rows below those of the others."""
        if self._rows is not None:
            self._rows.add(rows)
        else:
            self._rows = rows
            if self.runner.decoder.is_roomy:
                make_room(rows.cache)
        self._cohorts.append(cohort)

    def _leave(self) -> list[Step]:
        """Take out the rows of the prompts that have ended; returns their answers."""
        import torch

        steps: list[Step] = []
        stay: list[int] = []
        before = 0
        for cohort in self._cohorts:
            count = len(cohort.rows.ids)
            places, answers = cohort.leave(self.runner)
            steps += answers
            stay += [before + place for place in places]
            before += count
        self._cohorts = [cohort for cohort in self._cohorts if cohort.asked]
        if not self._cohorts:
            self.clear()
        elif len(stay) < before and self._rows is not None:
            self._rows.select(torch.tensor(stay, device=self._rows.mask.device))
        return steps
