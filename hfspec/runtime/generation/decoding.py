"""The decoding of a batch: the greedy search and sampling of transformers, except that a row which has ended leaves the
batch, and that every prompt draws from a generator of its own, so that its answer is the one that it gets alone.

generate() prepares everything and hands its loop over to a callable (``custom_generate``,
https://huggingface.co/docs/transformers/generation_strategies#custom-generation-methods).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.runtime.io.finite import FiniteLogits, NotFiniteError, unusable
from hfspec.settings import generation
from hfspec.settings.precedence import Settings

# Logits processors that look at each row by itself; others keep something for every row of the batch at its start.
BY_ROW = frozenset(
    {
        "ExponentialDecayLengthPenalty",
        "Forced",
        "ForcedBOSTokenLogitsProcessor",
        "ForcedEOSTokenLogitsProcessor",
        "InfNanRemoveLogitsProcessor",
        "LogitNormalization",
        "MinLengthLogitsProcessor",
        "MinNewTokensLengthLogitsProcessor",
        "NoBadWordsLogitsProcessor",
        "NoRepeatNGramLogitsProcessor",
        "Penalties",
        "RepetitionPenaltyLogitsProcessor",
        "SuppressTokensAtBeginLogitsProcessor",
        "SuppressTokensLogitsProcessor",
        *("EpsilonLogitsWarper", "EtaLogitsWarper", "MinPLogitsWarper", "TemperatureLogitsWarper", "TopKLogitsWarper"),
        *("TopPLogitsWarper", "TypicalLogitsWarper"),
    }
)
CACHE = "past_key_values"
CACHE_LAYERS = frozenset({"DynamicLayer", "DynamicSlidingWindowLayer", "RoomyLayer"})


@dataclass(frozen=True, slots=True)
class Decoder:
    """The decoder of a model's batches. ``is_ours``: Decoding decodes them where the settings allow it, else always
    transformers; ``is_roomy``: whether the cache then grows into room.
    """

    model: Any
    is_ours: bool = False
    is_roomy: bool = False

    @staticmethod
    def knows(model: Any) -> bool:
        """Whether the model of transformers has the steps that Decoding calls."""
        steps = inspect.signature(model.prepare_inputs_for_generation).parameters
        return "next_sequence_length" in steps and hasattr(model, "_prefill")

    def decodes(self, settings: Settings) -> bool:
        """Whether Decoding can decode batches with these settings: without beams, and without stop strings, for which
        generate() gives a callable no tokenizer.
        """
        return self.is_ours and (settings.get("num_beams") or 1) == 1 and settings.get("stop_strings") is None

    def options(self, settings: Settings, seeds: Sequence[int | None], device: str) -> dict[str, Any]:
        """Arguments of generate() that make Decoding decode the batch; none where it cannot."""
        if not self.decodes(settings):
            return {}
        draws = generation.samples(settings)
        answers = generation.answers_per_prompt(settings) if draws else 1
        seeds = seeds if draws else [None] * len(seeds)
        return {"custom_generate": Decoding(seeds, answers, device, is_roomy=self.is_roomy)}


class Decoding:
    """The callable for generate(). ``seeds``: one a prompt, None to draw from torch's global generator; ``answers``:
    how many rows follow each other for one prompt, which draw together and leave together; ``is_roomy``: whether the
    cache grows into room.
    """

    def __init__(self, seeds: Sequence[int | None], answers: int, device: str, *, is_roomy: bool) -> None:
        self.seeds, self.answers, self.device, self.is_roomy = seeds, answers, device, is_roomy

    def __call__(
        self,
        model: Any,
        input_ids: Any,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: Any,
        **state: Any,
    ) -> Any:
        """(rows, tokens): the prompts and what follows them, filled up with padding where a row has ended."""
        import torch

        from hfspec.runtime.generation.roomy_cache import make_room

        rows = Rows(input_ids, self._generators(), generation_config)
        if self.is_roomy:
            make_room(state.get(CACHE))
        drops = may_drop(logits_processor, stopping_criteria)
        inputs = {name: value for name, value in state.items() if name not in {"synced_gpus", "streamer"}}
        outputs = model._prefill(input_ids, generation_config, inputs)  # noqa: SLF001 - the loop's own first step
        while True:
            inputs = model._update_model_kwargs_for_generation(  # noqa: SLF001 - the loop's own
                outputs, inputs, is_encoder_decoder=model.config.is_encoder_decoder
            )
            many = outputs.logits.shape[1] > 1  # a copy of the last lets the others go
            logits = outputs.logits[:, -1].to(copy=many, dtype=torch.float32, device=input_ids.device)
            rows.check(logits, self.answers)
            rows.end(stopping_criteria(rows.add(rows.chosen(logits_processor(rows.ids, logits))), None))
            if rows.all_ended:
                return rows.whole()
            count = len(rows.ids)
            places = rows.leave(self.answers) if drops and _selectable(inputs) else None
            if places is not None:
                inputs = _selected(inputs, places, count)
            length = 1 if inputs["use_cache"] else None
            ready = model.prepare_inputs_for_generation(rows.ids, next_sequence_length=length, **inputs)
            outputs = model(**ready, return_dict=True)

    def _generators(self) -> list[Any]:
        """One generator a row; rows of one prompt share theirs."""
        import torch

        generators = [
            None if seed is None else torch.Generator(device=self.device).manual_seed(seed) for seed in self.seeds
        ]
        return [generator for generator in generators for _ in range(self.answers)]


class Rows:
    """The rows of a batch, those that have left it included."""

    def __init__(self, ids: Any, generators: list[Any], config: Any) -> None:
        import torch

        self.ids = ids
        self.ended = torch.zeros(ids.shape[0], dtype=torch.bool, device=ids.device)
        self._draws = bool(config.do_sample)
        self._generators = generators
        self._pad = 0 if config.pad_token_id is None else int(config.pad_token_id)
        self._places = list(range(ids.shape[0]))
        self._left: dict[int, Any] = {}

    @property
    def all_ended(self) -> bool:
        return bool(self.ended.all())

    def check(self, logits: Any, answers: int) -> None:
        """Raises NotFiniteError when there is no likeliest token for a row that has not ended."""
        place = self.unusable(logits)
        if place is not None:
            raise NotFiniteError(self._places[place] // answers)

    def unusable(self, logits: Any) -> int | None:
        """The place, among the rows of the batch now, of the first that has not ended and has no likeliest token."""
        faults = unusable(logits) & ~self.ended
        return int(faults.nonzero()[0, 0]) if bool(faults.any()) else None

    def chosen(self, scores: Any) -> Any:
        """The next token of each row."""
        import torch

        if not self._draws:
            return scores.argmax(dim=-1)
        odds = scores.softmax(dim=-1)
        tokens = [
            torch.multinomial(odds[first:last], num_samples=1, generator=self._generators[first])
            for first, last in self._runs()
        ]
        return torch.cat(tokens)[:, 0]

    def _runs(self) -> Iterator[tuple[int, int]]:
        """The first row, and the one after the last, of each run that shares a generator."""
        first = 0
        for place in range(1, len(self._generators) + 1):
            if place == len(self._generators) or self._generators[place] is not self._generators[first]:
                yield first, place
                first = place

    def add(self, tokens: Any) -> Any:
        """Add the next token of each row that has not ended, padding to the others; returns all tokens."""
        import torch

        tokens = tokens.masked_fill(self.ended, self._pad)
        self.ids = torch.cat([self.ids, tokens[:, None]], dim=-1)
        return self.ids

    def end(self, ended: Any) -> None:
        """End the rows at which ``ended`` is true, beside those that have ended."""
        self.ended = self.ended | ended

    def leave(self, answers: int) -> Any:
        """Take out the prompts whose rows have all ended. The places that stay, None when no prompt has ended."""
        over = self.ended.view(-1, answers).all(dim=1).repeat_interleave(answers)
        if not bool(over.any()):
            return None
        for place in over.nonzero()[:, 0].tolist():
            self._left[self._places[place]] = self.ids[place]
        places = (~over).nonzero()[:, 0]
        self.ids, self.ended = self.ids[places], self.ended[places]
        self._places = [self._places[place] for place in places.tolist()]
        self._generators = [self._generators[place] for place in places.tolist()]
        return places

    def whole(self) -> Any:
        """All rows in their order, (rows, tokens)."""
        if not self._left:
            return self.ids
        lines = self._left | dict(zip(self._places, self.ids, strict=True))
        rows = self.ids.new_full((len(lines), self.ids.shape[1]), self._pad)
        for place, line in lines.items():
            rows[place, : len(line)] = line
        return rows


def may_drop(logits_processor: Any, stopping_criteria: Any) -> bool:
    """Whether rows may leave: no processor keeps anything by their places, and an end token marks what is padding."""
    return looks_by_row(logits_processor) and any(hasattr(criterion, "eos_token_id") for criterion in stopping_criteria)


def looks_by_row(logits_processor: Any) -> bool:
    """Whether every processor looks at each row by itself."""
    return all(type(processor).__name__ in BY_ROW for processor in logits_processor)


def _selectable(inputs: Mapping[str, Any]) -> bool:
    """Whether the cache, if there is one, holds keys and values by row."""
    cache = inputs.get(CACHE)
    parts = [getattr(cache, name) for name in ("self_attention_cache", "cross_attention_cache") if hasattr(cache, name)]
    layers = [layer for part in parts or [cache] for layer in getattr(part, "layers", [])]
    by_row = bool(layers) and all(type(layer).__name__ in CACHE_LAYERS for layer in layers)
    return by_row or (cache is None and not inputs.get("use_cache"))


def _selected(inputs: Mapping[str, Any], places: Any, count: int) -> dict[str, Any]:
    """The inputs of the next step for the rows at these ``places`` of ``count``."""
    cache = inputs.get(CACHE)
    if cache is not None:
        cache.batch_select_indices(places)
    return {name: value if name == CACHE else _rows_of(value, places, count) for name, value in inputs.items()}


def _rows_of(value: Any, places: Any, count: int) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return value[places] if value.ndim > 1 and value.shape[0] == count else value
    if isinstance(value, Mapping):  # the encoder's outputs
        return type(value)(**{name: _rows_of(part, places, count) for name, part in value.items()})
    return value


def checked(tools: dict[str, Any], items: int) -> dict[str, Any]:
    """The tools of a batch of so many prompts, with a look at every logit where transformers decodes it."""
    if "custom_generate" in tools:
        return tools
    from transformers import LogitsProcessorList

    return {**tools, "logits_processor": LogitsProcessorList([*tools.get("logits_processor", ()), FiniteLogits(items)])}


class Forced:
    """A logits processor for a trial. It keeps the model's scores for the first row's next token, and makes the first
    token of the vocabulary follow, but at the step ``last`` the token ``end`` in the other rows, so that no two ways of
    decoding part.
    """

    def __init__(self, end: int, last: int) -> None:
        self.seen: list[Any] = []
        self._end, self._last = end, last

    def __call__(self, ids: Any, scores: Any) -> Any:
        forced = scores.new_zeros(scores.shape)
        forced[:, 0] = 1
        if len(self.seen) == self._last:
            forced[1:, self._end] = 2
        self.seen.append(scores[0].clone())
        return forced
