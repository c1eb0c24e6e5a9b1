"""Dense sentence embeddings: the answers of SentenceTransformer.encode, text by text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.errors import ParamsError
from hfspec.inputs.row import Row
from hfspec.integrity.fingerprint import fingerprint
from hfspec.ir.signature import Column, Tensor
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.io.functions import unit
from hfspec.runtime.io.transfer import Arriving
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.sentences.sentence_encoder import Text
from hfspec.runtime.sentences.sentence_runner import SentenceRunner
from hfspec.settings import quantization
from hfspec.settings.precedence import LOAD, PREDICT, Settings


@dataclass(frozen=True, slots=True)
class Embedded:
    """A row's result; ``vector`` a numpy array (width,) at the precision of the settings."""

    vector: Any
    tokens: int
    cut: bool


class SentenceEmbedding(SentenceRunner):
    """A runner whose precisions are functions of the text alone, so that no embedding depends on its batch."""

    def check(self, settings: Settings) -> None:
        super().check(settings)
        if fault := quantization.fault(self.encoder.size, settings):
            raise ParamsError(f"{fault}.")

    def declared(self, outputs: tuple[Column, ...] | Tensor, settings: Settings) -> tuple[Column, ...] | Tensor:
        """The outputs with the width and precision of a caller that sets other ones than the spec. An answer that is no
        array, as the OpenAI API's, stays as it is.
        """
        if not isinstance(outputs, Tensor) or not {settings.origin("truncate_dim"), settings.origin("precision")} & {
            LOAD,
            PREDICT,
        }:
            return outputs
        dtype, width = quantization.array(self.encoder.size, settings)
        return Tensor(dtype, (-1, width))

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Text]]:
        return self.items([(row.number, row.values["text"]) for row in rows], settings)

    def run(self, batch: Sequence[Item[Text]], settings: Settings) -> Arriving | Computed:
        return self.vectors(batch, settings)

    def read(self, output: Arriving | Computed, batch: Sequence[Item[Text]], settings: Settings) -> list[Embedded]:
        import numpy as np

        vectors = np.asarray(output.here())
        rows = quantization.quantized(unit(vectors) if settings.get("normalize_embeddings") else vectors, settings)
        return [Embedded(row, item.content.tokens, item.content.cut) for row, item in zip(rows, batch, strict=True)]

    def standard(self, results: Sequence[Embedded], settings: Settings) -> Any:
        """(rows, width); one text is one row."""
        import numpy as np

        if not results:
            dtype, width = quantization.array(self.encoder.size, settings)
            return np.empty((0, width), dtype)
        return np.stack([result.vector for result in results])

    def full(self, results: Sequence[Embedded], settings: Settings) -> list[dict[str, Any]]:
        mark = self.mark(settings)
        return [
            {"embedding": row.vector, "tokens": row.tokens, "truncated": row.cut, "fingerprint": mark}
            for row in results
        ]

    def mark(self, settings: Settings) -> str:
        """The fingerprint of the embedding space under these settings."""
        return fingerprint(self.request.space or "", self.request.dtype, settings, self.prompts)
