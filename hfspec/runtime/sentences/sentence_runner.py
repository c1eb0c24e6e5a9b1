"""The core of every task over dense sentence embeddings: the encoder, the prompts, the vectors of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfspec.errors import ParamsError
from hfspec.formats.sentence_modules import own_settings
from hfspec.formats.sentence_modules import settings as stated
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.io.transfer import Arriving
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.runner import Runner
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.sentences.sentence_encoder import Encoder, Text, encoder
from hfspec.settings.precedence import LOAD, PREDICT, Settings
from hfspec.settings.prompts import Prompts


class SentenceRunner(Runner):
    """A runner that cuts texts longer than the model reads, as sentence-transformers does; full output says so."""

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        self.encoder = self.load_encoder(request)
        self.loaded = self.encoder.loaded
        self.is_code = "model" in request.code  # reviewed code may see padding
        self.stated = stated(request.model_folder)
        self.prompts = Prompts(self.stated)

    def load_encoder(self, request: LoadRequest) -> Encoder:
        """The encoder for this artifact's texts."""
        return encoder(request)

    def own_settings(self) -> dict[str, Any]:
        return own_settings(self.stated, self.task)

    def check(self, settings: Settings) -> None:
        self.prompts.check(settings)
        width, size = settings.get("truncate_dim"), self.encoder.size
        if width and size and width > size and settings.origin("truncate_dim") in {LOAD, PREDICT}:
            raise ParamsError(
                f"truncate_dim: expected at most {size}, the model's dimensions; found {width}.", "truncate_dim"
            )

    def items(self, texts: Sequence[tuple[int, str]], settings: Settings) -> list[Item[Text]]:
        """An item for each text, given with the number of the row that it belongs to."""
        whole = self.task.setting("truncation") is not None and not settings.get("truncation")
        encoded = self.encoder.prepare([text for _, text in texts], self.prompts.text(settings), whole=whole)
        return [
            Item(number, text.tokens, text, text.tokens if self.is_code else 0)
            for (number, _), text in zip(texts, encoded, strict=True)
        ]

    def vectors(self, batch: Sequence[Item[Text]], settings: Settings) -> Arriving | Computed:
        """(texts, dimensions) of float32, cut to the dimensions of the settings, on its way to the host."""
        output = self.encoder.encode([item.content for item in batch], self.prompts.text(settings))
        return Arriving(output[:, : settings.get("truncate_dim") or output.shape[1]])
