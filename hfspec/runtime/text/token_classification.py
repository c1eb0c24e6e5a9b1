"""Labels for tokens, and the entities they make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.errors import ParamsError
from hfspec.formats.label_names import label_names
from hfspec.inputs.row import Row
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.io.transfer import Arriving
from hfspec.runtime.loading.model import find_model_class, load_one_pass_model
from hfspec.runtime.loading.positions import cut_length, most_tokens
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.loading.tokenizer import load_tokenizer
from hfspec.runtime.runner import Runner
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.text.entities import Entity, Piece, entities, without_overlap
from hfspec.runtime.text.padding import Padding
from hfspec.runtime.text.token_batch import pad_id, padded
from hfspec.runtime.text.tokens import Tokens, refuse_overlong
from hfspec.runtime.text.word_reader import WordReader, knows_words
from hfspec.settings.precedence import Settings
from hfspec.tasks.token_classification import BY_WORD


@dataclass(frozen=True, slots=True)
class Window:
    """As much of a row's text as the model reads at once. ``special``: 1 for each token that is not of the text;
    ``offsets``: each token's place in the text, ``word_ids``: the number of its word; None where the tokenizer does not
    say.
    """

    text: str
    tokens: Tokens
    special: list[int]
    offsets: list[tuple[int, int]] | None
    word_ids: list[int | None] | None


class TokenClassification(Runner):
    """A runner that answers as the transformers token-classification pipeline does for one row alone."""

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        self.tokenizer = load_tokenizer(request)
        self.model, patches = load_one_pass_model(request, find_model_class(request))
        self.loaded = Loaded(model=self.model, tokenizer=self.tokenizer, patches=patches)
        self.device = request.device
        self.limit = cut_length(self.model, self.tokenizer)
        self.most = most_tokens(request, self.model)
        self.pad = {"input_ids": pad_id(self.model, self.tokenizer)}
        self.padding = Padding(self.model, self.tokenizer, self.pad, self.limit)
        self.fast = bool(self.tokenizer.is_fast)
        self.knows_words = self.fast and knows_words(self.tokenizer.backend_tokenizer)

    def check(self, settings: Settings) -> None:
        strategy, stride = settings["aggregation_strategy"], settings.get("stride")
        if strategy in BY_WORD and not self.fast:
            raise ParamsError(
                f"aggregation_strategy {strategy!r} needs to know where words begin, which this checkpoint's tokenizer"
                " does not say; use none or simple."
            )
        if stride is None:
            return
        if strategy == "none" or not self.fast:
            reason = (
                "aggregation_strategy is none" if strategy == "none" else "the tokenizer does not say where they are"
            )
            raise ParamsError(f"stride, which puts the entities of several windows together, cannot be used: {reason}.")
        room = self.limit - self.tokenizer.num_special_tokens_to_add()
        if stride >= room:
            raise ParamsError(f"stride must be less than {room}, the tokens of a text in one window; found {stride}.")

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Window]]:
        if not rows:
            return []
        encoded = self.tokenizer(
            [row.values["text"] for row in rows],
            padding=False,
            verbose=False,
            return_special_tokens_mask=True,
            return_offsets_mapping=self.fast,
            **self._cut(settings),
        )
        owners = encoded.get("overflow_to_sample_mapping", range(len(rows)))
        windows = [(rows[owner], self._window(rows[owner], encoded, place)) for place, owner in enumerate(owners)]
        tokens = [window.tokens for _, window in windows]
        if settings.get("stride") is None and not settings.get("truncation"):
            refuse_overlong(rows, tokens, self.most)
        return [
            Item(row.number, len(window.special), window, group)
            for (row, window), group in zip(windows, self.padding.groups(tokens), strict=True)
        ]

    def _cut(self, settings: Settings) -> dict[str, Any]:
        stride = settings.get("stride")
        if stride is not None:
            return {"truncation": True, "max_length": self.limit, "stride": stride, "return_overflowing_tokens": True}
        return {"truncation": True, "max_length": self.limit} if settings.get("truncation") else {}

    def _window(self, row: Row, encoded: Any, place: int) -> Window:
        tokens = {name: list(encoded[name][place]) for name in self.tokenizer.model_input_names if name in encoded}
        offsets = [tuple(pair) for pair in encoded["offset_mapping"][place]] if self.fast else None
        word_ids = encoded.word_ids(place) if self.knows_words else None
        return Window(row.values["text"], tokens, list(encoded["special_tokens_mask"][place]), offsets, word_ids)

    def run(self, batch: Sequence[Item[Window]], settings: Settings) -> Arriving | Computed | None:
        """Scores (rows, tokens, labels); None where no row has tokens: an empty text, to a tokenizer without special
        tokens.
        """
        import torch

        if not any(item.length for item in batch):
            return None
        inputs = padded([item.content.tokens for item in batch], self.pad, "right", self.device)
        with torch.inference_mode():
            scores = self.model(**inputs).logits.float().softmax(-1)
            return Arriving(scores, [item.length for item in batch])

    def read(
        self, output: Arriving | Computed | None, batch: Sequence[Item[Window]], settings: Settings
    ) -> list[list[Entity]]:
        import numpy as np

        if output is None:
            return [[] for _ in batch]
        scores = np.asarray(output.here())
        return [self._entities(item.content, rows, settings) for item, rows in zip(batch, scores, strict=True)]

    def _entities(self, window: Window, scores: Any, settings: Settings) -> list[Entity]:
        strategy, ignored = settings["aggregation_strategy"], settings["ignore_labels"]
        pieces = list(self._pieces(window, scores))
        marked = entities(pieces, strategy, label_names(self.model.config), self.tokenizer.convert_tokens_to_string)
        return [entity for entity in marked if entity.label not in ignored]

    def _pieces(self, window: Window, scores: Any) -> Iterator[Piece]:
        ids = window.tokens["input_ids"]
        reader = WordReader(window.text)
        for index, (token, word) in enumerate(zip(ids, self.tokenizer.convert_ids_to_tokens(ids), strict=True)):
            if window.special[index]:
                continue
            if window.offsets is None:
                yield Piece(word, scores[index], None, None, index, continues=False)
                continue
            start, end = window.offsets[index]
            text = window.text[start:end] if token == self.tokenizer.unk_token_id else word
            word_id = None if window.word_ids is None else window.word_ids[index]
            yield Piece(text, scores[index], start, end, index, continues=reader.continues(start, end, word_id))

    def joined(self, parts: Sequence[list[Entity]], settings: Settings) -> list[Entity]:
        if len(parts) == 1:
            return parts[0]
        return without_overlap([entity for part in parts for entity in part])

    def standard(self, results: Sequence[list[Entity]], settings: Settings) -> list[str]:
        return [",".join(entity.label for entity in row) for row in results]

    def full(self, results: Sequence[list[Entity]], settings: Settings) -> list[dict[str, Any]]:
        alone = settings["aggregation_strategy"] == "none"
        return [{"entities": [_as_dict(entity, alone=alone) for entity in row]} for row in results]


def _as_dict(entity: Entity, *, alone: bool) -> dict[str, Any]:
    """The entity with the keys of the transformers pipeline; ``alone``: one token, not a group."""
    place = {"index": entity.index} if alone else {}
    return {
        "entity" if alone else "entity_group": entity.label,
        "score": entity.score,
        "word": entity.word,
        **place,
        "start": entity.start,
        "end": entity.end,
    }
