"""Similarities of texts: what SentenceTransformer.similarity_pairwise answers over their embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.inputs import pairs
from hfspec.inputs.row import Row
from hfspec.ir.artifact import FULL
from hfspec.runtime.io.transfer import Arriving
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.sentences.sentence_encoder import Text
from hfspec.runtime.sentences.sentence_runner import SentenceRunner
from hfspec.settings.precedence import Settings


@dataclass(frozen=True, slots=True)
class Side:
    """A text of a row with its vector, a tensor (dimensions,); ``listed``: the row has a list of sentences."""

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
    """Each text is embedded by itself; a row's texts are compared once all of them are."""

    def check_rows(self, rows: Sequence[Row]) -> None:
        pairs.refuse_mixed(rows, self.task)

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[tuple[Text, bool]]]:
        given = {row.number: pairs.pairs_of(row, self.task) for row in rows}
        texts = [(number, text) for number, mine in given.items() for text in (mine.one, *mine.others)]
        items = self.items(texts, settings)
        return [Item(item.row, item.length, (item.content, given[item.row].listed)) for item in items]

    def run(self, batch: Sequence[Item[tuple[Text, bool]]], settings: Settings) -> Arriving:
        return self.vectors([Item(item.row, item.length, item.content[0]) for item in batch], settings)

    def read(self, made: Arriving, batch: Sequence[Item[tuple[Text, bool]]], settings: Settings) -> list[Side]:  # noqa: ARG002
        return [
            Side(vector, item.content[0].tokens, item.content[0].cut, item.content[1])
            for vector, item in zip(made.here(), batch, strict=True)
        ]

    def joined(self, parts: Sequence[Side], settings: Settings) -> Compared:
        import torch

        first, *others = parts
        if not others:
            return Compared(torch.empty(0).numpy(), tuple(parts), first.listed)
        beside = torch.stack([other.vector for other in others])
        scores = SIMILARITIES[_function(settings)](first.vector.expand_as(beside), beside)
        return Compared(scores.numpy(), tuple(parts), first.listed)

    def standard(self, results: Sequence[Compared], settings: Settings) -> Any:  # noqa: ARG002
        """(pairs,), float32; of texts with sentences one array for each row, of one such row that array itself."""
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


def _cosine(one: Any, other: Any) -> Any:
    import torch

    unit = torch.nn.functional.normalize
    return (unit(one, p=2, dim=-1) * unit(other, p=2, dim=-1)).sum(dim=-1)


# Over tensors (pairs, dimensions); distances are negative, so that more is always more alike.
SIMILARITIES: Mapping[str, Callable[[Any, Any], Any]] = {
    "cosine": _cosine,
    "dot": lambda one, other: (one * other).sum(dim=-1),
    "euclidean": lambda one, other: -(one - other).norm(dim=-1),
    "manhattan": lambda one, other: -(one - other).abs().sum(dim=-1),
}
