"""Labels and scores for images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.errors import InputError
from hfspec.inputs.row import Row
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.io.labels import Labelled, labelled
from hfspec.runtime.io.transfer import Arriving
from hfspec.runtime.loading.components import load_component
from hfspec.runtime.loading.model import find_model_class, load_one_pass_model
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.media.features import Features, shape_of
from hfspec.runtime.media.image import image, refuse_size
from hfspec.runtime.media.media_classification import MediaClassification
from hfspec.runtime.scheduling.batching import Item
from hfspec.settings.precedence import Settings


@dataclass(frozen=True, slots=True)
class Picture:
    """A row's features, and the width and height of its image in pixels."""

    features: Features
    size: tuple[int, int]


class ImageClassification(MediaClassification):
    """A runner that answers as the transformers image-classification pipeline does for one image alone, with the
    processor's PIL backend, so that the answer does not depend on whether torchvision is installed.
    """

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        self.model, patches = load_one_pass_model(request, find_model_class(request))
        self.processor = load_component(request, "image_processor", backend="pil")
        self.loaded = Loaded(model=self.model, image_processor=self.processor, patches=patches)
        self.device = request.device

    def item(self, row: Row, settings: Settings) -> Item[Picture]:
        picture = image(row.values["image"], row.number, settings)
        refuse_size(_resized(picture.size, self.processor), row.number, settings, "the image becomes, once resized,")
        try:
            features = dict(self.processor(images=picture, return_tensors="pt"))
        except (ValueError, ZeroDivisionError, MemoryError) as error:
            reason = str(error) or "it takes more memory than there is"
            raise InputError(f"the image processor refuses the image: {reason}", row=row.number) from error
        return Item(row.number, 1, Picture(features, picture.size), shape_of(features))

    def read(self, output: Arriving | Computed, batch: Sequence[Item[Picture]], settings: Settings) -> list[Labelled]:
        about = [{"width": item.content.size[0], "height": item.content.size[1]} for item in batch]
        return labelled(output.here(), self.model.config, settings.get("function_to_apply"), about)

    def budget(self, settings: Settings) -> int:
        """How many images one forward pass may hold."""
        return int(settings["batch_images"])


def _resized(size: tuple[int, int], processor: Any) -> tuple[int, int]:
    """The size of an image after a processor that keeps its proportions: it sets the shorter edge, so a line of pixels
    becomes as long as it is thin.
    """
    target = getattr(processor, "size", None) or {}
    shortest = target.get("shortest_edge") if "longest_edge" not in target else None
    if not shortest or not getattr(processor, "do_resize", False):
        return size
    scale = shortest / (getattr(processor, "crop_pct", None) or 1) / min(size)
    return round(size[0] * scale), round(size[1] * scale)
