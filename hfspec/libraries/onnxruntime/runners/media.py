"""The runners of graphs that read images and sounds: each is its task's own, with the graph in torch's place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfspec.errors import StorageError
from hfspec.libraries.onnxruntime.images import ImageSteps
from hfspec.libraries.onnxruntime.loading import FACTS, Graph
from hfspec.libraries.onnxruntime.sounds import SoundSteps
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.media.audio_classification import AudioClassification, Sound
from hfspec.runtime.media.features import Features, SoundFeatures
from hfspec.runtime.media.image_classification import ImageClassification, Picture
from hfspec.runtime.scheduling.batching import Item
from hfspec.settings.precedence import Settings


class GraphImageClassification(ImageClassification):
    """Labels and scores for images."""

    def __init__(self, request: LoadRequest) -> None:
        self.take(request)
        self.model = Graph(request.model_folder, request.threads)
        self.processor = _steps(ImageSteps, self.model)
        self.loaded = Loaded(model=self.model)
        self.device = request.device

    def run(self, batch: Sequence[Item[Picture]], settings: Settings) -> Computed:
        return _logits(self.model, [item.content.features for item in batch])


class GraphAudioClassification(AudioClassification):
    """Labels and scores for sounds."""

    def __init__(self, request: LoadRequest) -> None:
        self.take(request)
        self.model = Graph(request.model_folder, request.threads)
        self.features = SoundFeatures(_steps(SoundSteps, self.model), self.model)
        self.loaded = Loaded(model=self.model)
        self.device = request.device

    def run(self, batch: Sequence[Item[Sound]], settings: Settings) -> Computed:
        return _logits(self.model, [item.content.features for item in batch])


def _steps(kind: Any, graph: Graph) -> Any:
    """The recorded steps of the processor; raises StorageError where they are something else."""
    try:
        return kind(**graph.features)
    except TypeError as error:
        raise StorageError(f"{FACTS} is not what hfspec writes beside a graph; compile again.") from error


def _logits(graph: Graph, rows: Sequence[Features]) -> Computed:
    import numpy as np

    inputs = {name: np.concatenate([row[name] for row in rows]) for name in graph.inputs}
    return Computed(graph.run(inputs)[0])
