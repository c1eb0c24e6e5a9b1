"""Speech to text, by a checkpoint of either kind: CTC or Whisper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hfspec.errors import UsageError
from hfspec.inputs.row import Row
from hfspec.runtime.loading.components import load_processor_parts
from hfspec.runtime.loading.model import find_model_class, load_model, load_one_pass_model
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.loading.tokenizer import shared
from hfspec.runtime.media import media
from hfspec.runtime.media.audio import wave
from hfspec.runtime.media.features import SoundFeatures
from hfspec.runtime.media.transcript import Recognizer, Transcript
from hfspec.runtime.runner import Runner
from hfspec.runtime.scheduling.batching import Item
from hfspec.settings.precedence import Settings


class SpeechRecognition(Runner):
    """A runner that answers as the transformers automatic-speech-recognition pipeline does for one row alone; Whisper
    transcribes audio longer than its window segment after segment, as its authors do, unless chunk_length_s is set.
    """

    rows_at_once = 1
    look_ahead = 4

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        is_ctc = request.manifest.deployment.model_class.endswith("ForCTC")
        load = load_one_pass_model if is_ctc else load_model
        model, patches = load(request, find_model_class(request))
        self.loaded = Loaded(model=model, patches=patches, **load_processor_parts(request))
        self.features = SoundFeatures(self.loaded.feature_extractor, model)
        self.recognizer = _recognizer(model, self.features, shared(self.loaded.tokenizer), request.device)

    def own_settings(self) -> Mapping[str, Any]:
        return self.recognizer.own_settings()

    def check(self, settings: Settings) -> None:
        media.check_fixed(settings)
        self.recognizer.check(settings)

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Any]]:
        items: list[Item[Any]] = []
        for row in rows:
            sound = wave(row.values["audio"], row.number, self.features.rate, settings)
            items += self.recognizer.items(sound, row, settings)
        return items

    def run(self, batch: Sequence[Item[Any]], settings: Settings) -> Any:
        return self.recognizer.run(batch, settings)

    def read(self, output: Any, batch: Sequence[Item[Any]], settings: Settings) -> Sequence[Any]:
        return self.recognizer.read(output, batch, settings)

    def joined(self, parts: Sequence[Any], settings: Settings) -> Transcript:
        return self.recognizer.joined(parts, settings)

    def standard(self, results: Sequence[Transcript], settings: Settings) -> list[str]:
        return [result.text for result in results]

    def full(self, results: Sequence[Transcript], settings: Settings) -> list[dict[str, Any]]:
        return [result.full() for result in results]

    @property
    def pass_tokens(self) -> None:
        """Only features of one shape share a batch, so there is no padding to weigh."""

    def budget(self, settings: Settings) -> int:
        """How many samples one forward pass may hold."""
        return int(settings["batch_seconds"] * self.features.rate)


def _recognizer(model: Any, features: SoundFeatures, tokenizer: Any, device: str) -> Recognizer:
    from hfspec.runtime.media.speech_ctc import CtcRecognizer
    from hfspec.runtime.media.speech_whisper import WhisperRecognizer

    if model.config.model_type == "whisper":
        return WhisperRecognizer(model, features, tokenizer, device)
    if type(model).__name__.endswith("ForCTC"):
        return CtcRecognizer(model, features, tokenizer, device)
    raise UsageError(
        f"speech recognition knows Whisper and CTC models; {type(model).__name__} is neither, and is not supported."
    )
