"""Continuations of prompts by models of ONNX Runtime's generate(), with the library's own search.

Prompts of several lengths share a batch, padded on the right, where the library leaves padding out: it knows padding by
its token, so that a prompt with that token in it goes alone. A row that has ended is padding from then on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.errors import OutputError, ParamsError, UsageError
from hfspec.libraries.onnxruntime_genai.config import GenaiConfig
from hfspec.libraries.onnxruntime_genai.loading import config_folder, load_model, read_config
from hfspec.libraries.onnxruntime_genai.tokenizer import Tokenizer
from hfspec.runtime.generation import stop_text
from hfspec.runtime.generation.causal_generation import Asked, CausalGeneration, Continuation, Prompt
from hfspec.runtime.io.finite import NotFiniteError
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.scheduling.batching import Item
from hfspec.settings import generation
from hfspec.settings.precedence import Settings
from hfspec.tasks.genai import MOST_ROWS, SEARCH
from hfspec.tasks.setting import SAMPLING

SAMPLES = tuple(setting.name for setting in SEARCH if setting.only_with == SAMPLING)
ALWAYS = ("min_length", "repetition_penalty", "length_penalty", "no_repeat_ngram_size", "early_stopping")
NO_MEMORY = ("allocate memory", "bad_alloc", "out of memory")


@dataclass(frozen=True, slots=True)
class Ends:
    """The tokens that end answers and fill a batch behind them, by transformers' names for them."""

    eos_token_id: tuple[int, ...]
    pad_token_id: int | None
    stop_strings: None = None


class GenaiGeneration(CausalGeneration):
    """A runner over a tokenizer and a model of onnxruntime-genai."""

    joins = False
    genai: GenaiConfig
    model: Any

    def load(self, request: LoadRequest) -> None:
        stored = request.manifest.deployment.dtype
        if request.dtype != stored:
            raise UsageError(
                f"dtype: a graph computes in its own, here {stored}; load without dtype={request.dtype!r}."
            )
        folder = config_folder(request)
        self.genai = read_config(folder, request.task)
        self.tokenizer = Tokenizer(folder, self.genai.pad)
        self.model = load_model(folder, request.device, request.threads)
        self.loaded = Loaded(model=self.model, tokenizer=self.tokenizer)
        self.most = self.genai.context_length
        self.limit = min(self.most, self.tokenizer.model_max_length)

    def own_settings(self) -> dict[str, Any]:
        return self.genai.stated(self.task)

    def check(self, settings: Settings) -> None:
        check(settings)

    def first_tokens(self) -> list[int]:
        return [] if self.genai.bos is None else [self.genai.bos]

    def group(self, prompt: Prompt, settings: Settings, alone: Any) -> tuple[Any, ...]:
        """The key of the prompts that share a batch. They make the same number of tokens; prompts that are sampled from
        a seed, or have the padding token in them, share no batch.
        """
        even = self.genai.pad is None or generation.reads_prompt(settings) or _beams(settings) > 1
        seeded = generation.samples(settings) and generation.seed(settings) is not None
        is_alone = seeded or (not even and self.genai.pad in prompt.ids)
        return (prompt.room, len(prompt.ids) if even else 0, alone if is_alone else None)

    def asked(self, item: Item[Any], settings: Settings) -> Asked | None:
        return None

    def continued(
        self,
        prompts: Sequence[Prompt],
        settings: Settings,
        streamer: Any = None,
        seeds: Sequence[int | None] | None = None,
    ) -> list[tuple[Continuation, ...]]:
        count = generation.answers_per_prompt(settings)
        seed = generation.seed(settings) if seeds is None else seeds[0]
        at_once = max(1, MOST_ROWS // max(count, _beams(settings)))
        return [
            answers
            for first in range(0, len(prompts), at_once)
            for answers in self._batch(prompts[first : first + at_once], settings, count, streamer, seed)
        ]

    def _batch(
        self, prompts: Sequence[Prompt], settings: Settings, count: int, streamer: Any, seed: int | None
    ) -> Iterator[tuple[Continuation, ...]]:
        rows = prompts if _beams(settings) > 1 else [prompt for prompt in prompts for _ in range(count)]
        ends = Ends(self.genai.eos, self.genai.pad)
        try:
            lines = self._lines(rows, settings, count, streamer, seed)
        except RuntimeError as error:
            if any(words in str(error).lower() for words in NO_MEMORY):
                raise MemoryError(str(error)) from error
            raise OutputError(f"onnxruntime-genai cannot generate: {str(error).strip().splitlines()[0]}") from error
        for place, prompt in enumerate(prompts):
            mine = lines[place * count : (place + 1) * count]
            yield tuple(self.continuation(prompt, line, ends, settings) for line in mine)

    def _lines(
        self, rows: Sequence[Prompt], settings: Settings, count: int, streamer: Any, seed: int | None
    ) -> list[list[int]]:
        """The tokens after each row's prompt, padding behind those of a row that ended before others."""
        import numpy as np
        import onnxruntime_genai

        width = max(len(row.ids) for row in rows)
        ids = [row.ids + [self.genai.pad or 0] * (width - len(row.ids)) for row in rows]
        params = onnxruntime_genai.GeneratorParams(self.model)
        params.set_search_options(
            **_options(settings, count, seed), batch_size=len(rows), max_length=width + rows[0].room
        )
        generator = onnxruntime_genai.Generator(self.model, params)
        generator.append_tokens(np.array(ids if len(ids) > 1 else ids[0], dtype=np.int32))
        _check_finite(generator.get_logits())
        if streamer is not None:
            streamer.put(None)
        search = _Search(self, generator, settings, len(rows), streamer)
        while not generator.is_done() and not search.is_over:
            search.step()
        lines = len(rows) if _beams(settings) == 1 else len(rows) * count
        return [generator.get_sequence(place)[width:].tolist() for place in range(lines)]


class _Search:
    """The steps of a search, with penalties, stop texts and a stream, which the library does not have."""

    def __init__(self, runner: GenaiGeneration, generator: Any, settings: Settings, rows: int, streamer: Any) -> None:
        self.generator, self.streamer = generator, streamer
        stops = () if _beams(settings) > 1 else stop_text.texts(settings)  # an answer's beam is known at the end
        self.stops = stop_text.Watch(runner.tokenizer, stops)
        self.frequency = float(settings.get("frequency_penalty") or 0)
        self.presence = float(settings.get("presence_penalty") or 0)
        self.made: list[list[int]] = [[] for _ in range(rows)]
        self.ended = [False] * rows
        self.eos = set(runner.genai.eos)

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for another token."""
        return all(self.ended) or (self.streamer is not None and self.streamer.abandoned)

    def step(self) -> None:
        if self.frequency or self.presence:
            self._penalise()
        self.generator.generate_next_token()
        if not self.stops and not self.streamer and not (self.frequency or self.presence):
            return
        tokens = self.generator.get_next_tokens()
        if self.streamer is not None:
            self.streamer.put(tokens)
        for place, token in enumerate(tokens.tolist()):
            self.made[place].append(token)
            ended = token in self.eos or self.stops.has_stop(self.made[place])
            self.ended[place] = self.ended[place] or ended

    def _penalise(self) -> None:
        import numpy as np

        logits = self.generator.get_logits()
        for place, answer in enumerate(self.made):
            tokens, counts = np.unique(np.array(answer, dtype=np.int64), return_counts=True)
            logits[place, -1, tokens] -= self.frequency * counts + self.presence
        self.generator.set_logits(logits)


def check(settings: Settings) -> None:
    """Raises ParamsError for settings at odds with each other."""
    generation.check_answers(settings)
    beams, samples = _beams(settings), generation.samples(settings)
    if beams > 1 and samples:
        raise ParamsError("num_beams and do_sample: the library searches beams without sampling; set one of them.")
    if beams > 1 and (settings.get("frequency_penalty") or settings.get("presence_penalty")):
        raise ParamsError(
            "num_beams goes with no frequency_penalty and no presence_penalty; set one of them to its rest."
        )
    seeds = {name: settings.get(name) for name in ("seed", "random_seed") if settings.get(name) is not None}
    if len(set(seeds.values())) > 1 and settings.rank("seed") == settings.rank("random_seed"):
        raise ParamsError(
            f"seed is {seeds['seed']} and random_seed {seeds['random_seed']}: they are one; set one of them."
        )


def _beams(settings: Settings) -> int:
    return int(settings.get("num_beams") or 1)


def _options(settings: Settings, count: int, seed: int | None) -> dict[str, Any]:
    """The library's search options of a call, but for the sizes."""
    beams, samples = _beams(settings), generation.samples(settings)
    names = (*ALWAYS, *(SAMPLES if samples else ()))
    options = {name: settings[name] for name in names if settings.get(name) is not None}
    if samples and seed is not None:
        options["random_seed"] = seed
    return {**options, "do_sample": samples, "num_beams": beams, "num_return_sequences": count if beams > 1 else 1}


def _check_finite(logits: Any) -> None:
    """Raises NotFiniteError where no token is the likeliest one after a prompt."""
    import numpy as np

    faults = ~np.isfinite(logits.max(axis=-1)).reshape(len(logits), -1)[:, -1]
    if faults.any():
        raise NotFiniteError(int(faults.nonzero()[0][0]))
