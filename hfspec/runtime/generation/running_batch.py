"""A batch that prompts join while it runs, and leave when their answers have ended.

The prompts that join together with the same settings are a cohort: generate() prepares it and reads its prompts, and it
keeps the settings' processors of scores and its ends. One forward pass a step is for the rows of all cohorts: their
keys and values lie in one cache, padded on the left like the prompts of one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import Any

from hfspec.runtime.generation.causal_generation import Asked, CausalGeneration, Continuation
from hfspec.runtime.generation.decoding import CACHE, Rows, looks_by_row, may_drop
from hfspec.runtime.generation.prefix_cache import PrefixCache
from hfspec.runtime.generation.roomy_cache import make_room
from hfspec.runtime.io.finite import NotFiniteError
from hfspec.runtime.scheduling.isolation import isolated
from hfspec.runtime.text.token_batch import padded

MASK, POSITIONS = "attention_mask", "position_ids"
# Inputs of a model's steps beside its tokens, with which its rows can go beside those of others.
KNOWN = frozenset({CACHE, MASK, POSITIONS, "use_cache", "logits_to_keep", "return_dict", "cache_position"})
LAYERS = frozenset({"DynamicLayer", "RoomyLayer"})  # layers with the keys and values of all tokens
MARGIN = 32  # columns of padding that all rows have, before they are cut off


class NotMergeableError(Exception):
    """The model keeps more between its steps than keys and values of all tokens, or keeps them in another form."""


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
class _Cohort:
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


class RunningBatch:
    """Prompts that the model continues. ``prefixes``: the cache of their beginnings. Threads must not share a batch."""

    def __init__(self, runner: CausalGeneration, prefixes: PrefixCache | None = None) -> None:
        self.runner = runner
        self.prefixes = PrefixCache(0) if prefixes is None else prefixes
        self._cohorts: list[_Cohort] = []
        self._cache: Any = None
        self._mask: Any = None
        self._positions: Any = None
        self._more: dict[str, Any] = {}

    def __len__(self) -> int:
        """How many rows the next step computes."""
        return sum(len(cohort.rows.ids) for cohort in self._cohorts)

    @property
    def tokens(self) -> int:
        """How many tokens the rows have, padding counted."""
        return 0 if self._mask is None else int(self._mask.numel())

    def join(self, prompts: Sequence[Asked]) -> list[Step]:
        """Read prompts of the same settings, but for their seeds, and make the first token of each.

        Raises:
            NotMergeableError: For a model whose rows cannot be put beside others.
        """
        import torch

        steps: list[Step] = []
        for together in self.prefixes.parts(prompts):
            done, failed = isolated(together, self._start, passes=(NotMergeableError,))
            steps += [Step(one.key, error=error) for one, error in failed]
            for part, captured in done:
                with torch.inference_mode(), self.runner.turn:
                    self._keep(part, captured.inputs[CACHE])
                    steps += captured.cohort.choose(captured.logits)
                    self._merge(captured.cohort, captured.inputs)
        with torch.inference_mode(), self.runner.turn:
            return [*steps, *self._leave()]

    def step(self) -> list[Step]:
        """Make the next token of every row. A prompt at which the model fails ends with the error; the others go on."""
        import torch

        with torch.inference_mode(), self.runner.turn:
            last = torch.cat([cohort.rows.ids[:, -1:] for cohort in self._cohorts])
            first = list(accumulate((len(cohort.rows.ids) for cohort in self._cohorts), initial=0))
            places = [
                (cohort, place, [first[number] + row for row in cohort.rows_of([place])])
                for number, cohort in enumerate(self._cohorts)
                for place in range(len(cohort.asked))
            ]
            width = self._mask.shape[-1] - 1  # the last token of each row is not read yet

            def read(part: Sequence[tuple[_Cohort, int, list[int]]]) -> tuple[Any, Any, list[int]]:
                rows = [row for _, _, own in part for row in own]
                if len(part) == len(places):
                    return self._read(last, self._cache, self._mask, self._positions), self._cache, rows
                cache = _part(self._cache, rows, width)
                positions = None if self._positions is None else self._positions[rows]
                return self._read(last[rows], cache, self._mask[rows], positions), cache, rows

            done, failed = isolated(places, read)
            logits = self._joined([result for _, result in done], width) if failed else done[0][1][0]
            steps = [step for (cohort, place, _), error in failed for step in cohort.fail(place, error)]
            if logits is None:
                self.clear()
                return steps
            self._mask = torch.cat([self._mask, self._mask.new_ones((len(last), 1))], dim=-1)
            if self._positions is not None:
                self._positions = self._positions + 1
            sizes = [len(cohort.rows.ids) for cohort in self._cohorts]
            for cohort, mine in zip(self._cohorts, logits.split(sizes), strict=True):
                steps += cohort.choose(mine)
            return [*steps, *self._leave()]

    def _read(self, last: Any, cache: Any, mask: Any, positions: Any) -> Any:
        """The model's scores after each row's last token, (rows, vocabulary); the cache takes that token."""
        inputs = {**self._more, CACHE: cache, MASK: mask, "use_cache": True}
        if positions is not None:
            inputs[POSITIONS] = positions
        ready = self.runner.model.prepare_inputs_for_generation(last, next_sequence_length=1, **inputs)
        return self.runner.model(**ready, return_dict=True).logits[:, -1].float()

    def _joined(self, parts: Sequence[tuple[Any, Any, list[int]]], width: int) -> Any:
        """Put the caches of parts of the rows back into the batch's; returns the scores of all rows, zeros for those in
        no part, and None where there is no part.
        """
        for number, layer in enumerate(self._cache.layers):
            pair = [_wide(values[..., :width, :], width + 1).clone() for values in (layer.keys, layer.values)]
            for _, cache, rows in parts:
                read = cache.layers[number]
                for whole, values in zip(pair, (read.keys, read.values), strict=True):
                    whole[rows] = values
            layer.keys, layer.values = pair
        if not parts:
            return None
        logits = parts[0][0].new_zeros((len(self), parts[0][0].shape[-1]))
        for part, _, rows in parts:
            logits[rows] = part
        return logits

    def drop(self, key: Hashable) -> None:
        """Make no further token for this prompt; its rows leave at the next step."""
        import torch

        with torch.inference_mode():
            for cohort in self._cohorts:
                cohort.end(key)

    def clear(self) -> list[Hashable]:
        """Give up all prompts; returns their keys."""
        keys = [one.key for cohort in self._cohorts for one in cohort.asked if one.key not in cohort.gone]
        self._cohorts, self._cache, self._mask, self._positions = [], None, None, None
        return keys

    def _start(self, prompts: Sequence[Asked]) -> _Captured:
        import torch
        from transformers import LogitsProcessorList, StoppingCriteriaList

        runner, settings = self.runner, prompts[0].settings
        config = runner.config(prompts[0].prompt, settings)
        rows = [{"input_ids": one.prompt.ids, MASK: [1] * len(one.prompt.ids)} for one in prompts]
        inputs = padded(rows, {"input_ids": config.pad_token_id}, "left", runner.device)
        width = inputs["input_ids"].shape[1]
        captured = _Captured(list(prompts), runner.device)
        tools = runner.tools(settings, width)
        tools.setdefault("logits_processor", LogitsProcessorList())
        tools.setdefault("stopping_criteria", StoppingCriteriaList())
        with torch.inference_mode(), runner.turn:
            if (prefix := self.prefixes.begun([one.prompt.ids for one in prompts], prompts[0].answers)) is not None:
                inputs[CACHE] = prefix
            runner.model.generate(**inputs, generation_config=config, custom_generate=captured, **tools)
        return captured

    def _keep(self, prompts: Sequence[Asked], cache: Any) -> None:
        """Keep the prompts' keys and values, for prompts that begin alike."""
        width = max(len(one.prompt.ids) for one in prompts)
        if not self.prefixes.most or any(layer.keys.shape[-2] != width for layer in cache.layers):
            return
        for place, one in enumerate(prompts):
            row, first = place * one.answers, width - len(one.prompt.ids)
            layers = [(layer.keys[row, :, first:], layer.values[row, :, first:]) for layer in cache.layers]
            self.prefixes.keep(one.prompt.ids, layers)

    def _merge(self, cohort: _Cohort, inputs: Mapping[str, Any]) -> None:
        import torch

        cache, mask, positions = inputs[CACHE], inputs[MASK], inputs.get(POSITIONS)
        positions = None if positions is None else positions[..., -1:]
        self._more = {name: value for name, value in inputs.items() if name not in {CACHE, MASK, POSITIONS}}
        if not self._cohorts:
            self._cache, self._mask, self._positions = cache, mask, positions
            if self.runner.decoder.is_roomy:
                make_room(cache)
        else:
            length = max(self._mask.shape[-1], mask.shape[-1])
            width = length - 1  # the last token of each row is not read yet
            for mine, new in zip(self._cache.layers, cache.layers, strict=True):
                mine.keys = torch.cat([_wide(mine.keys, width), _wide(new.keys, width)])
                mine.values = torch.cat([_wide(mine.values, width), _wide(new.values, width)])
            self._mask = torch.cat([_pad_left(self._mask, length), _pad_left(mask, length)])
            if positions is not None:
                self._positions = torch.cat([self._positions, positions])
        self._cohorts.append(cohort)

    def _leave(self) -> list[Step]:
        """Take out the rows of the prompts that have ended; returns their answers."""
        import torch

        steps, stay, first, changed = [], [], 0, False
        for cohort in self._cohorts:
            count = len(cohort.rows.ids)
            places, answers = self._split(cohort)
            steps += answers
            changed |= len(places) < count
            stay += [first + place for place in places]
            first += count
        self._cohorts = [cohort for cohort in self._cohorts if cohort.asked]
        if not self._cohorts:
            self.clear()
        elif changed:
            self._select(torch.tensor(stay, device=self._mask.device))
        return steps

    def _split(self, cohort: _Cohort) -> tuple[list[int], list[Step]]:
        """The places of the rows that stay in the cohort, and the answers of the prompts that leave."""
        answers = cohort.answers
        over = cohort.rows.ended.view(-1, answers).all(dim=1).tolist()
        if not (all(over) or (cohort.drops and any(over))):
            return list(range(len(cohort.rows.ids))), []
        steps = []
        for place, one in enumerate(cohort.asked):
            if over[place] and one.key not in cohort.gone:
                lines = cohort.rows.ids[place * answers : (place + 1) * answers, cohort.width :].tolist()
                steps.append(self._ended(one, lines, cohort.config))
        cohort.asked = [one for one, is_over in zip(cohort.asked, over, strict=True) if not is_over]
        cohort.rows.leave(answers)
        return [row for row in range(len(over) * answers) if not over[row // answers]], steps

    def _ended(self, one: Asked, lines: Sequence[list[int]], config: Any) -> Step:
        try:
            answers = [self.runner.continuation(one.prompt, line, config, one.settings) for line in lines]
        except Exception as error:  # noqa: BLE001 - a fault of the libraries ends one prompt, not those beside it
            return Step(one.key, error=error)
        return Step(one.key, ended=tuple(answers))

    def _select(self, places: Any) -> None:
        self._cache.batch_select_indices(places)
        self._mask = self._mask[places]
        if self._positions is not None:
            self._positions = self._positions[places]
        unused = int(self._mask.any(dim=0).int().argmax())
        if unused >= MARGIN:
            self._mask = self._mask[:, unused:]
            for layer in self._cache.layers:
                layer.keys, layer.values = layer.keys[..., unused:, :], layer.values[..., unused:, :]


class _Captured:
    """The callable in place of generate()'s loop: it reads the prompts, and keeps the state for the loop's
    next step.
    """

    cohort: _Cohort
    inputs: dict[str, Any]
    logits: Any

    def __init__(self, prompts: list[Asked], device: str) -> None:
        self._asked, self._device = prompts, device

    def __call__(
        self,
        model: Any,
        input_ids: Any,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: Any,
        **state: Any,
    ) -> Any:
        """The prompts as they are; raises NotMergeableError."""
        import torch

        seeds = [one.seed for one in self._asked for _ in range(one.answers)]
        generator_of: dict[int, Any] = {}
        generators = [
            None
            if seed is None
            else generator_of.setdefault(
                row // self._asked[0].answers, torch.Generator(device=self._device).manual_seed(seed)
            )
            for row, seed in enumerate(seeds)
        ]
        rows = Rows(input_ids, generators, generation_config)
        inputs = {name: value for name, value in state.items() if name not in {"synced_gpus", "streamer"}}
        outputs = model._prefill(input_ids, generation_config, inputs)  # noqa: SLF001 - the loop's own first step
        inputs = model._update_model_kwargs_for_generation(outputs, inputs, is_encoder_decoder=False)  # noqa: SLF001
        if inputs.get(MASK) is None:  # generate() leaves out a mask of ones alone
            inputs[MASK] = input_ids.new_ones((input_ids.shape[0], input_ids.shape[1] + 1))
        _check_mergeable(inputs)
        many = outputs.logits.shape[1] > 1
        self.logits = outputs.logits[:, -1].to(copy=many, dtype=torch.float32, device=input_ids.device)
        self.inputs = inputs
        by_row = looks_by_row(logits_processor)
        self.cohort = _Cohort(
            asked=self._asked,
            rows=rows,
            config=generation_config,
            processors=logits_processor,
            criteria=stopping_criteria,
            width=input_ids.shape[1],
            by_row=by_row,
            drops=may_drop(logits_processor, stopping_criteria),
        )
        return input_ids


def _check_mergeable(inputs: Mapping[str, Any]) -> None:
    unknown = {name for name, value in inputs.items() if value is not None} - KNOWN
    layers = getattr(inputs.get(CACHE), "layers", [])
    kinds = {type(layer).__name__ for layer in layers}
    if unknown or not kinds or kinds - LAYERS or inputs[MASK].ndim != 2:
        raise NotMergeableError(", ".join(sorted(unknown | (kinds - LAYERS))) or "no cache of keys and values")
    positions = inputs.get(POSITIONS)
    if positions is not None and positions.ndim != 2:
        raise NotMergeableError(f"positions of {positions.ndim} dimensions")


def _part(cache: Any, rows: list[int], width: int) -> Any:
    """A copy of some rows' first ``width`` tokens; a pass that failed may have written more into some layers."""
    from transformers import DynamicCache

    part = DynamicCache()
    for number, layer in enumerate(cache.layers):
        part.update(layer.keys[rows][..., :width, :], layer.values[rows][..., :width, :], number)
    return part


def _wide(values: Any, length: int) -> Any:
    """(rows, heads, ``length``, features): zeros before the values."""
    missing = length - values.shape[-2]
    if missing <= 0:
        return values
    import torch

    return torch.nn.functional.pad(values, (0, 0, missing, 0))


def _pad_left(mask: Any, length: int) -> Any:
    """(rows, ``length``): zeros before the mask."""
    import torch

    return torch.nn.functional.pad(mask, (length - mask.shape[-1], 0))
