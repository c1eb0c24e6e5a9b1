"""Labels and scores for texts and pairs of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.runtime.answers import Table
from hfspec.runtime.batching import Item
from hfspec.runtime.family import Row
from hfspec.runtime.sequence_classifier import SequenceClassifier
from hfspec.runtime.settings import Settings
from hfspec.runtime.tokens import Tokens, encode, refuse_overlong


@dataclass(frozen=True, slots=True)
class Scored:
    """A row's result: every label with its score, best first, and how many tokens the row had."""

    labels: tuple[str, ...]
    scores: tuple[float, ...]
    tokens: int


class TextClassification(SequenceClassifier):
    """Equal to what the library's text-classification pipeline answers for one row alone."""

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Tokens]]:
        tokens: list[Tokens] = [{} for _ in rows]
        for paired in (False, True):
            # An empty second text is none: so the library reads a pair that it is given alone.
            places = [place for place, row in enumerate(rows) if bool(row.values.get("text_pair")) is paired]
            found = self._encode([rows[place] for place in places], settings, paired=paired)
            for place, mine in zip(places, found, strict=True):
                tokens[place] = mine
        if not settings.get("truncation"):
            refuse_overlong(rows, tokens, self.limit)
        return [
            Item(row.number, len(mine["input_ids"]), mine, self.group(row.number, mine))
            for row, mine in zip(rows, tokens, strict=True)
        ]

    def _encode(self, rows: Sequence[Row], settings: Settings, *, paired: bool) -> list[Tokens]:
        texts = [row.values["text"] for row in rows]
        pairs = [row.values["text_pair"] for row in rows] if paired else None
        cut = {"truncation": True, "max_length": self.limit} if settings.get("truncation") else {}
        return encode(self.words, texts, pairs, **cut)

    def run(self, batch: Sequence[Item[Tokens]], settings: Settings) -> list[Scored]:
        rows = self._scores(self.logits([item.content for item in batch]), settings).tolist()
        return [self._scored(row, item.length) for row, item in zip(rows, batch, strict=True)]

    def _scores(self, logits: Any, settings: Settings) -> Any:
        """As the library: the checkpoint's problem_type decides, then the number of labels."""
        kind, several = self.model.config.problem_type, self.model.config.num_labels > 1
        function = settings.get("function_to_apply")
        if function is None and kind == "regression":
            function = "none"
        if function is None:
            function = "softmax" if several and kind != "multi_label_classification" else "sigmoid"
        if function == "none":
            return logits
        return logits.softmax(-1) if function == "softmax" else logits.sigmoid()

    def _scored(self, scores: Sequence[float], tokens: int) -> Scored:
        ranked = sorted(range(len(scores)), key=lambda place: -scores[place])
        names = self.model.config.id2label
        return Scored(tuple(names[place] for place in ranked), tuple(scores[place] for place in ranked), tokens)

    def standard(self, results: Sequence[Scored], settings: Settings) -> Table:
        top = settings.get("top_k", 1)
        if top == 1:
            columns = {"label": "string", "score": "double"}
            return Table(columns, tuple((result.labels[0], result.scores[0]) for result in results))
        lines = [
            (number, label, score)
            for number, result in enumerate(results)
            for label, score in list(zip(result.labels, result.scores, strict=True))[:top]
        ]
        return Table({"row": "long", "label": "string", "score": "double"}, tuple(lines))

    def full(self, results: Sequence[Scored], settings: Settings) -> list[dict[str, Any]]:  # noqa: ARG002
        return [
            {"labels": list(result.labels), "scores": list(result.scores), "tokens": result.tokens}
            for result in results
        ]
