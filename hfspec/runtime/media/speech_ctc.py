"""Speech recognition by models that give a letter, or none, for every few milliseconds (wav2vec2 and its kin)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.errors import InputError, ParamsError
from hfspec.inputs.row import Row
from hfspec.runtime.io.transfer import Arriving
from hfspec.runtime.media.audio import Wave
from hfspec.runtime.media.features import Features, SoundFeatures, shape_of, stacked
from hfspec.runtime.media.transcript import Chunk, Transcript, chunk_sizes, chunks, refuse_given
from hfspec.runtime.scheduling.batching import Item
from hfspec.settings.precedence import Settings
from hfspec.tasks import speech_recognition as task

UNITS = ("word", "char")


@dataclass(frozen=True, slots=True)
class Heard:
    """A chunk ready for the model, of a sound that is ``seconds`` long."""

    features: Features
    chunk: Chunk
    seconds: float


@dataclass(frozen=True, slots=True)
class Letters:
    """The likeliest token of each frame of a chunk, without the frames that it shares with others."""

    ids: list[int]
    seconds: float


class CtcRecognizer:
    """A recognizer by a CTC model. ``align``: the samples of one frame."""

    def __init__(self, model: Any, features: SoundFeatures, tokenizer: Any, device: str) -> None:
        self.model = model
        self.features = features
        self.tokenizer = tokenizer
        self.device = device
        self.align = int(getattr(model.config, "inputs_to_logits_ratio", 0) or 0)
        self.times_words = "output_char_offsets" in inspect.signature(tokenizer.decode).parameters and self.align > 0

    def own_settings(self) -> Mapping[str, Any]:
        return {}

    def check(self, settings: Settings) -> None:
        refuse_given(settings, [setting.name for setting in (*task.WHISPER, *task.GENERATION)], "a CTC model")
        unit = settings.get("return_timestamps")
        if unit is True:
            raise ParamsError(
                "return_timestamps: a CTC model times words or characters; set 'word' or 'char'.", "return_timestamps"
            )
        if not self.align and (unit or settings.get("chunk_length_s")):
            raise ParamsError(
                "this model does not say how long a frame is, so neither timestamps nor chunks can be had."
            )
        chunk_sizes(self.features.rate, max(self.align, 1), settings)

    def items(self, sound: Wave, row: Row, settings: Settings) -> list[Item[Heard]]:
        if "language" in row.values:
            raise InputError(
                "column 'language': a CTC model writes the language it was trained on; leave the column out.",
                row=row.number,
            )
        whole = Chunk(0, len(sound.samples), 0, 0)
        cut = list(chunks(len(sound.samples), sound.rate, max(self.align, 1), settings)) or [whole]
        return [self._item(sound, row.number, chunk) for chunk in cut]

    def _item(self, sound: Wave, row: int, chunk: Chunk) -> Item[Heard]:
        features = self.features(sound.samples[chunk.start : chunk.end], row, return_attention_mask=True)
        return Item(row, chunk.end - chunk.start, Heard(features, chunk, sound.seconds), shape_of(features))

    def run(self, batch: Sequence[Item[Heard]], settings: Settings) -> tuple[Arriving, Arriving]:
        """The logit and the number of each frame's likeliest letter."""
        import torch

        with torch.inference_mode():
            logits = self.model(**stacked([item.content.features for item in batch], self.model, self.device)).logits
            best = logits.max(dim=-1)
            return Arriving(best.values.float()), Arriving(best.indices)

    def read(
        self,
        output: tuple[Arriving, Arriving],
        batch: Sequence[Item[Heard]],
        settings: Settings,
    ) -> list[Letters]:
        _, lines = (side.here().tolist() for side in output)
        return [self._letters(line, item.content) for line, item in zip(lines, batch, strict=True)]

    def _letters(self, line: list[int], heard: Heard) -> Letters:
        """The letters without the frames that the chunk shares with its neighbours."""
        samples, before, after = heard.chunk.stride
        if not before and not after:
            return Letters(line, heard.seconds)
        frames = round(samples / self.align)
        first, last = round(before / samples * frames), frames - round(after / samples * frames)
        return Letters(line[first:last], heard.seconds)

    def joined(self, parts: Sequence[Letters], settings: Settings) -> Transcript:
        ids = [token for part in parts for token in part.ids]
        text = self.tokenizer.decode(ids, skip_special_tokens=False)
        unit = settings.get("return_timestamps")
        unit = "word" if unit is None and self.times_words else unit
        return Transcript(text, parts[0].seconds, self._timed(ids, unit) if unit else None)

    def _timed(self, ids: list[int], unit: str) -> list[dict[str, Any]]:
        option = {f"output_{unit}_offsets": True}
        offsets = self.tokenizer.decode(ids, skip_special_tokens=False, **option)[f"{unit}_offsets"]
        frame = self.align / self.features.rate
        return [
            {"text": item[unit], "timestamp": (item["start_offset"] * frame, item["end_offset"] * frame)}
            for item in offsets
        ]
