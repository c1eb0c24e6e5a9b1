"""Labels and scores for texts and pairs of texts."""

from __future__ import annotations

from collections.abc import Sequence

from hfspec.inputs.row import Row
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.io.labels import Labelled, Labeller, labelled
from hfspec.runtime.io.transfer import Arriving
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.text.sequence_classifier import SequenceClassifier
from hfspec.runtime.text.tokens import Tokens, encode, refuse_overlong
from hfspec.settings.precedence import Settings


class TextClassification(Labeller, SequenceClassifier):
    """A runner that answers as the transformers text-classification pipeline does for one row alone."""

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Tokens]]:
        tokens: list[Tokens] = [{} for _ in rows]
        for paired in (False, True):
            # An empty second text is none, as transformers has it for a pair alone.
            places = [place for place, row in enumerate(rows) if bool(row.values.get("text_pair")) is paired]
            encoded = self._encode([rows[place] for place in places], settings, paired=paired)
            for place, mine in zip(places, encoded, strict=True):
                tokens[place] = mine
        if not settings.get("truncation"):
            refuse_overlong(rows, tokens, self.most)
        return [
            Item(row.number, len(mine["input_ids"]), mine, group)
            for row, mine, group in zip(rows, tokens, self.groups(tokens), strict=True)
        ]

    def _encode(self, rows: Sequence[Row], settings: Settings, *, paired: bool) -> list[Tokens]:
        texts = [row.values["text"] for row in rows]
        pairs = [row.values["text_pair"] for row in rows] if paired else None
        cut = {"truncation": True, "max_length": self.limit} if settings.get("truncation") else {}
        return encode(self.tokenizer, texts, pairs, **cut)

    def run(self, batch: Sequence[Item[Tokens]], settings: Settings) -> Arriving | Computed:
        return self.logits([item.content for item in batch])

    def read(self, output: Arriving | Computed, batch: Sequence[Item[Tokens]], settings: Settings) -> list[Labelled]:
        about = [{"tokens": item.length} for item in batch]
        return labelled(output.here(), self.model.config, settings.get("function_to_apply"), about)
