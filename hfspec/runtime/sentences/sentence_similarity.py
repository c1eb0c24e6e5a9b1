"""Similarities of texts: the answers of SentenceTransformer.similarity_pairwise over their embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.inputs import pairs
from hfspec.inputs.row import Row
from hfspec.ir.artifact import FULL
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.io.functions import unit
from hfspec.runtime.io.transfer import Arriving
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.sentences.sentence_encoder import Text
from hfspec.runtime.sentences.sentence_runner import SentenceRunner
from hfspec.settings.precedence import Settings


@dataclass(frozen=True, slots=True)
class Side:
    """A text of a row with its vector, a numpy array (dimensions,); ``listed``: the row has a list of sentences."""

    vector: Any
    tokens: int
    cut: bool
    listed: bool


@dataclass(frozen=True, slots=True)
class Compared:
    """A row's result: the similarity of its first text to each other one, a numpy array of float32."""

    scores: Any
    sides: tuple[Side, ...]
    listed: bool


class SentenceSimilarity(SentenceRunner):
    """A runner that embeds each text by itself, and compares a row's texts once it has all their vectors."""

    def check_rows(self, rows: Sequence[Row]) -> None:
        pairs.refuse_mixed(rows, self.task)

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[tuple[Text, bool]]]:
        sides = {row.number: pairs.pairs_of(row, self.task) for row in rows}
        texts = [(number, text) for number, mine in sides.items() for text in (mine.one, *mine.others)]
        items = self.items(texts, settings)
        return [Item(item.row, item.length, (item.content, sides[item.row].listed)) for item in items]

    def run(self, batch: Sequence[Item[tuple[Text, bool]]], settings: Settings) -> Arriving | Computed:
        return self.vectors([Item(item.row, item.length, item.content[0]) for item in batch], settings)

    def read(
        self,
        output: Arriving | Computed,
        batch: Sequence[Item[tuple[Text, bool]]],
        settings: Settings,
    ) -> list[Side]:
        import numpy as np

        return [
            Side(vector, item.content[0].tokens, item.content[0].cut, item.content[1])
            for vector, item in zip(np.asarray(output.here()), batch, strict=True)
        ]

    def joined(self, parts: Sequence[Side], settings: Settings) -> Compared:
        import numpy as np

        first, *others = parts
        if not others:
            return Compared(np.empty(0, np.float32), tuple(parts), first.listed)
        beside = np.stack([other.vector for other in others])
        return Compared(SIMILARITIES[_function(settings)](first.vector, beside), tuple(parts), first.listed)

    def standard(self, results: Sequence[Compared], settings: Settings) -> Any:
        """(pairs,), float32; for texts with sentences one array a row, for one such row that array itself."""
        import numpy as np

        arrays = [row.scores for row in results]
        if results and results[0].listed:
            return arrays[0] if len(arrays) == 1 else arrays
        return np.concatenate(arrays) if arrays else np.empty((0,), np.float32)

    def answer(self, result: Compared, settings: Settings, form: str) -> Any:
        """A number for a pair, an array for a list."""
        if form == FULL:
            return super().answer(result, settings, form)
        return result.scores if result.listed else float(result.scores[0])

    def full(self, results: Sequence[Compared], settings: Settings) -> list[dict[str, Any]]:
        return [
            {
                **({"scores": row.scores} if row.listed else {"score": float(row.scores[0])}),
                "similarity": _function(settings),
                "tokens": [side.tokens for side in row.sides],
                "truncated": [side.cut for side in row.sides],
            }
            for row in results
        ]


def _function(settings: Settings) -> str:
    return str(settings.get("similarity_fn_name") or "cosine")


def _length(vectors: Any) -> Any:
    import numpy as np

    return np.linalg.norm(vectors, axis=-1)


# Each: a vector to each of others (vectors, dimensions). Distances are negative, so that more is always more alike.
SIMILARITIES: Mapping[str, Callable[[Any, Any], Any]] = {
    "cosine": lambda one, others: (unit(one) * unit(others)).sum(axis=-1),
    "dot": lambda one, others: (one * others).sum(axis=-1),
    "euclidean": lambda one, others: -_length(one - others),
    "manhattan": lambda one, others: -abs(one - others).sum(axis=-1),
}
