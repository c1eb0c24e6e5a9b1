"""Speech recognition by Whisper: its decoder writes out windows of audio of one length as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from threading import Lock
from typing import Any

from hfspec.errors import InputError, ParamsError
from hfspec.inputs.row import Row
from hfspec.library_calls.quiet import quiet
from hfspec.runtime.generation import decoding
from hfspec.runtime.generation import drawing as draws
from hfspec.runtime.media.audio import Wave
from hfspec.runtime.media.features import Features, SoundFeatures, shape_of, stacked
from hfspec.runtime.media.transcript import Chunk, Transcript, chunk_sizes, chunks
from hfspec.runtime.media.whisper_tokens import NO_TIMES, completed
from hfspec.runtime.scheduling.batching import Item
from hfspec.settings import generation
from hfspec.settings.precedence import CHECKPOINT, Settings
from hfspec.tasks import speech_recognition as task

THRESHOLDS = frozenset({"compression_ratio_threshold", "logprob_threshold", "no_speech_threshold"})
ENGLISH_ONLY = "this Whisper knows English only, so neither language nor task can be chosen."
UNTIMED = (
    "neither the checkpoint's generation_config.json (no_timestamps_token_id) nor its tokenizer (<|notimestamps|>) says"
    " which tokens are timestamps."
)
TIMES = "return_timestamps"
OWN = (TIMES, "language", "task")
GIVEN = tuple(setting.name for setting in (*task.WHISPER, *task.GENERATION) if setting.name not in {"prompt", "seed"})


@dataclass(frozen=True, slots=True)
class Heard:
    """A window, or the whole of a longer sound, ready for the model. ``chunk``: None when the sound is not cut.
    ``language``: the caller's, None to detect it.
    """

    features: Features
    chunk: Chunk | None
    is_long: bool
    seconds: float
    language: str | None


@dataclass(frozen=True, slots=True)
class Written:
    """The tokens of a window, (1, tokens), with the times of each where words are timed; ``language`` as its token."""

    heard: Heard
    tokens: Any
    times: Any
    language: int | None


class WhisperRecognizer:
    """A recognizer by Whisper, one call at a time: to time words transformers changes the model meanwhile."""

    def __init__(self, model: Any, features: SoundFeatures, tokenizer: Any, device: str) -> None:
        self.model = model
        self.features = features
        self.tokenizer = tokenizer
        self.device = device
        self.completed = completed(model.generation_config, model.config, tokenizer)
        self.languages: Mapping[str, int] = getattr(self.completed, "lang_to_id", None) or {}
        self.window = int(features.extractor.n_samples)
        self._turn = Lock()

    def own_settings(self) -> Mapping[str, Any]:
        config = self.model.generation_config
        values = {name: getattr(config, name, None) for name in OWN}
        own = {**generation.own(config), **{name: value for name, value in values.items() if value is not None}}
        return {name: value for name, value in own.items() if name in {*GIVEN, *OWN}}

    def check(self, settings: Settings) -> None:
        sizes = chunk_sizes(self.features.rate, 1, settings)
        if sizes is not None and sizes[0] > self.window:
            raise ParamsError(
                f"chunk_length_s: this Whisper hears {self.window / self.features.rate:g} s at once, and would leave"
                " out the rest of a longer chunk.",
                "chunk_length_s",
            )
        times = settings.get(TIMES)
        if times == "char":
            raise ParamsError("return_timestamps: Whisper times segments or words; set true or 'word'.", TIMES)
        if times == "word" and getattr(self.model.generation_config, "alignment_heads", None) is None:
            raise ParamsError(
                "return_timestamps: 'word' needs alignment_heads in the checkpoint's generation config.", TIMES
            )
        if times and not self._can_time():
            raise ParamsError(f"return_timestamps: {UNTIMED}", TIMES)
        fault = "" if settings.get("language") is None else self._language_fault(settings["language"])
        if fault:
            raise ParamsError(f"language: {fault}", "language")
        if settings.get("task") and not self._is_multilingual():
            raise ParamsError(f"task: {ENGLISH_ONLY}", "task")
        self._prompt(settings)

    def _is_multilingual(self) -> bool:
        return bool(getattr(self.completed, "is_multilingual", bool(self.languages)))

    def _can_time(self) -> bool:
        return getattr(self.completed, NO_TIMES, None) is not None

    def _language_fault(self, language: str) -> str:
        """The reason against a language, by its name, its code or its token; empty where there is none."""
        if not self._is_multilingual():
            return ENGLISH_ONLY
        from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

        codes = {token.strip("<|>") for token in self.languages}
        names = {name for name, code in TO_LANGUAGE_CODE.items() if code in codes}
        options = {*codes, *names, *self.languages}
        if language.lower() in options or not self.languages:
            return ""
        near = get_close_matches(language.lower(), sorted(names | codes), n=1, cutoff=0.5)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        return f"this Whisper does not know {language!r}{hint}; it knows: {', '.join(sorted(names or codes))}."

    def _prompt(self, settings: Settings) -> dict[str, Any]:
        if settings.get("prompt") is None:
            return {}
        try:
            ids = self.tokenizer.get_prompt_ids(settings["prompt"], return_tensors="pt")
        except ValueError as error:
            raise ParamsError(f"prompt: {error}", "prompt") from error
        return {"prompt_ids": ids.to(self.device)}

    def items(self, sound: Wave, row: Row, settings: Settings) -> list[Item[Heard]]:
        own = row.values.get("language")
        fault = "" if own is None else self._language_fault(own)
        if fault:
            raise InputError(f"column 'language': {fault}", row=row.number)
        cut: list[Chunk | None] = [*chunks(len(sound.samples), sound.rate, 1, settings)] or [None]
        language = settings.get("language") if own is None else own
        return [self._item(sound, row.number, chunk, language, settings) for chunk in cut]

    def _item(
        self, sound: Wave, row: int, chunk: Chunk | None, language: str | None, settings: Settings
    ) -> Item[Heard]:
        samples = sound.samples if chunk is None else sound.samples[chunk.start : chunk.end]
        is_long = chunk is None and len(samples) > self.window
        if is_long and not self._can_time():
            raise InputError(
                f"this sound is longer than the {self.window / self.features.rate:g} s that Whisper hears at once, and"
                f" longer ones are followed by their timestamps; {UNTIMED} Set chunk_length_s.",
                row=row,
            )
        whole = {"truncation": False, "padding": "longest"} if is_long else {}
        features = self.features(samples, row, return_attention_mask=True, **whole)
        alone = (row, chunk.start if chunk else 0) if is_long or self._goes_alone(settings) else None
        heard = Heard(features, chunk, is_long, sound.seconds, language)
        beams = int(settings.get("num_beams") or 1)
        return Item(row, max(len(samples), self.window) * beams, heard, (shape_of(features), language, alone))

    def _goes_alone(self, settings: Settings) -> bool:
        """Whether the rest of a batch would change the answer: sampling draws from the item's own seed, and
        transformers times words by statistics over all tokens of a batch, padding included.
        """
        return _samples(settings) or settings.get(TIMES) == "word"

    def run(self, batch: Sequence[Item[Heard]], settings: Settings) -> list[Written]:
        import torch

        inputs = stacked([item.content.features for item in batch], self.model, self.device)
        seeded = draws.seeded(settings.get("seed"), self.device, draws=_samples(settings))
        with torch.inference_mode(), self._turn, seeded, self._same_attention():
            options = decoding.checked(self._options(settings, batch[0].content), len(batch))
            output = self._generate(inputs, options)
        return [self._written(output, place, item.content, settings) for place, item in enumerate(batch)]

    def read(self, output: list[Written], batch: Sequence[Item[Heard]], settings: Settings) -> list[Written]:
        return output

    def _generate(self, inputs: Mapping[str, Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            with quiet():  # transformers warns how it will read its own settings one day
                output: Mapping[str, Any] = self.model.generate(**inputs, **options)
        except ValueError as error:
            raise ParamsError(f"Whisper refuses the settings: {error}") from error
        return output

    def _options(self, settings: Settings, heard: Heard) -> dict[str, Any]:
        """Arguments of generate() beyond the checkpoint's own generation config."""
        times = settings.get(TIMES)
        names = [name for name in GIVEN if name in settings and settings.origin(name) != CHECKPOINT]
        options = {name: settings[name] for name in names if settings[name] is not None}
        if settings.rank("max_length") > settings.rank("max_new_tokens"):
            options.pop("max_new_tokens", None)
        if heard.language is not None:
            options["language"] = heard.language
        if times or heard.is_long:
            options["return_timestamps"] = True
        if times == "word":
            options["return_token_timestamps"] = True
        if not options.keys().isdisjoint(THRESHOLDS):
            options.setdefault("temperature", 0.0)  # transformers compares with it
        if isinstance(options.get("temperature"), list):
            options["temperature"] = tuple(options["temperature"])
        if self.completed is not self.model.generation_config and self._needs_ids(options, settings):
            options["generation_config"] = self.completed
        return {**options, **self._prompt(settings), "return_segments": True}

    @staticmethod
    def _needs_ids(options: Mapping[str, Any], settings: Settings) -> bool:
        """Whether transformers would refuse the call over a generation config that lacks ids. Without any of these
        options it answers from the start token alone, and so do we.
        """
        return bool(options.get("language") or options.get("return_timestamps") or settings.get("task"))

    @contextmanager
    def _same_attention(self) -> Iterator[None]:
        """Put back the model's attention after the block: timing words switches it for good."""
        config = self.model.config
        before = config._attn_implementation  # noqa: SLF001 - where transformers keeps it
        try:
            yield
        finally:
            config._attn_implementation = before  # noqa: SLF001

    def _written(self, output: Mapping[str, Any], place: int, heard: Heard, settings: Settings) -> Written:
        import torch

        segments = output["segments"][place]
        times = None
        if settings.get(TIMES) == "word":
            times = torch.cat([segment["token_timestamps"] for segment in segments] or [torch.empty(0)]).cpu()
        return Written(heard, output["sequences"][place : place + 1].cpu(), times, self._language(segments))

    def _language(self, segments: Sequence[Mapping[str, Any]]) -> int | None:
        """The first language token among those that the model read and wrote."""
        if not segments:
            return None
        result = segments[0]["result"]
        whole = result["sequences"] if isinstance(result, Mapping) else result
        numbers = set(self.languages.values())
        return next((token for token in whole.flatten().tolist() if token in numbers), None)

    def joined(self, parts: Sequence[Written], settings: Settings) -> Transcript:
        times = settings.get(TIMES)
        with quiet():  # transformers warns of a last timestamp that is missing; it shows as null
            text, timed = self.tokenizer._decode_asr(  # noqa: SLF001 - it joins chunks by their overlaps
                [self._output(part, times) for part in parts],
                return_timestamps=times or None,
                return_language=None,
                time_precision=self.features.extractor.chunk_length / self.model.config.max_source_positions,
            )
        return Transcript(text, parts[0].heard.seconds, timed.get("chunks"), self._about(parts))

    def _output(self, part: Written, times: Any) -> dict[str, Any]:
        chunk = part.heard.chunk
        stride = {} if chunk is None else {"stride": tuple(size / self.features.rate for size in chunk.stride)}
        return {"tokens": part.tokens, **stride, **({"token_timestamps": part.times[None]} if times == "word" else {})}

    def _about(self, parts: Sequence[Written]) -> dict[str, Any]:
        codes = {number: token.strip("<|>") for token, number in self.languages.items()}
        language = next((part.language for part in parts if part.language is not None), None)
        return {} if language is None else {"language": codes[language]}


def _samples(settings: Settings) -> bool:
    """Whether any attempt draws its tokens."""
    temperature = settings.get("temperature")
    return any(temperature) if isinstance(temperature, list | tuple) else bool(temperature)
