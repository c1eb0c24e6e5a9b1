"""Labels and scores for sounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hfspec.inputs.row import Row
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.io.labels import Labelled, labelled
from hfspec.runtime.io.transfer import Arriving
from hfspec.runtime.loading.components import load_component
from hfspec.runtime.loading.model import find_model_class, load_one_pass_model
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.media.audio import wave
from hfspec.runtime.media.features import Features, SoundFeatures, shape_of
from hfspec.runtime.media.media_classification import MediaClassification
from hfspec.runtime.scheduling.batching import Item
from hfspec.settings.precedence import Settings


@dataclass(frozen=True, slots=True)
class Sound:
    """A row's features, its audio's length in seconds, and whether the model hears only the beginning of it."""

    features: Features
    seconds: float
    truncated: bool


class AudioClassification(MediaClassification):
    """A runner that answers as the transformers audio-classification pipeline does for one row alone, but that the
    score of a single label is its sigmoid: its softmax would be 1 whatever the sound.
    """

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        self.model, patches = load_one_pass_model(request, find_model_class(request))
        extractor = load_component(request, "feature_extractor")
        self.loaded = Loaded(model=self.model, feature_extractor=extractor, patches=patches)
        self.features = SoundFeatures(extractor, self.model)
        self.device = request.device

    def item(self, row: Row, settings: Settings) -> Item[Sound]:
        sound = wave(row.values["audio"], row.number, self.features.rate, settings)
        features = self.features(sound.samples, row.number)
        heard = Sound(features, sound.seconds, self.features.cuts(len(sound.samples)))
        return Item(row.number, len(sound.samples), heard, shape_of(features))

    def read(self, output: Arriving | Computed, batch: Sequence[Item[Sound]], settings: Settings) -> list[Labelled]:
        about = [{"seconds": item.content.seconds, "truncated": item.content.truncated} for item in batch]
        return labelled(output.here(), self.model.config, settings.get("function_to_apply"), about)

    @property
    def pass_tokens(self) -> None:
        """Only features of one shape share a batch, so there is no padding to weigh."""

    def budget(self, settings: Settings) -> int:
        """How many samples one forward pass may hold."""
        return int(settings["batch_seconds"] * self.features.rate)
