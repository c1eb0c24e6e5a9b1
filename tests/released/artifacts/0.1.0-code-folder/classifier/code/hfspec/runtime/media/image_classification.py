"""Labels and scores for images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hfspec.errors import InputError
from hfspec.runtime import parts
from hfspec.runtime.family import Place, Row
from hfspec.runtime.labels import Labelled, Labeller, labelled
from hfspec.runtime.media import media
from hfspec.runtime.media.features import Features, shape_of, stacked
from hfspec.runtime.media.image import image
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.settings import Settings
from hfspec.runtime.transfer import Arriving


@dataclass(frozen=True, slots=True)
class Picture:
    """A row's features, and the width and height of its image in pixels."""

    features: Features
    size: tuple[int, int]


class ImageClassification(Labeller):
    """Equal to what the library's image-classification pipeline answers for one image alone, with the processor's PIL
    backend, so that the answer does not depend on whether torchvision is installed.
    """

    rows_at_once = 1
    look_ahead = 4

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.model = parts.reader(place, parts.model_class(place))
        self.processor = parts.component(place, "image_processor", backend="pil")
        self.device = place.device

    def check(self, settings: Settings) -> None:
        media.check_remote(settings)

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Picture]]:
        return [self._item(row, settings) for row in rows]

    def _item(self, row: Row, settings: Settings) -> Item[Picture]:
        picture = image(row.values["image"], row.number, settings)
        try:
            features = dict(self.processor(images=picture, return_tensors="pt"))
        except (ValueError, ZeroDivisionError, MemoryError) as error:
            reason = str(error) or "it takes more memory than there is"
            raise InputError(f"the image processor refuses the image: {reason}", row=row.number) from error
        return Item(row.number, 1, Picture(features, picture.size), shape_of(features))

    def run(self, batch: Sequence[Item[Picture]], settings: Settings) -> Arriving:  # noqa: ARG002
        import torch

        with torch.inference_mode():
            logits = self.model(**stacked([item.content.features for item in batch], self.model, self.device)).logits
            return Arriving(logits.float())

    def read(self, made: Arriving, batch: Sequence[Item[Picture]], settings: Settings) -> list[Labelled]:
        about = [{"width": item.content.size[0], "height": item.content.size[1]} for item in batch]
        return labelled(made.here(), self.model.config, settings.get("function_to_apply"), about)

    def budget(self, settings: Settings) -> int:
        """How many images one forward pass may hold."""
        return int(settings["batch_images"])
