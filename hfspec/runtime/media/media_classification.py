"""Labels and scores for what a processor of transformers makes features of: the step that images and sounds share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from hfspec.inputs.row import Row
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.io.labels import Labeller
from hfspec.runtime.io.transfer import Arriving
from hfspec.runtime.media import media
from hfspec.runtime.media.features import stacked
from hfspec.runtime.scheduling.batching import Item
from hfspec.settings.precedence import Settings


class MediaClassification(Labeller):
    """A runner that reads one file a row. ``model``, ``device``: set by the kind's own ``__init__``."""

    rows_at_once = 1
    look_ahead = 4
    model: Any
    device: str

    def check(self, settings: Settings) -> None:
        media.check_fixed(settings)

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Any]]:
        return [self.item(row, settings) for row in rows]

    @abstractmethod
    def item(self, row: Row, settings: Settings) -> Item[Any]:
        """The row ready for the model; raises InputError naming the row."""

    def run(self, batch: Sequence[Item[Any]], settings: Settings) -> Arriving | Computed:
        import torch

        with torch.inference_mode():
            logits = self.model(**stacked([item.content.features for item in batch], self.model, self.device)).logits
            return Arriving(logits.float())
