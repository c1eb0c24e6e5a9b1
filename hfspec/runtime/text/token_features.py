"""The last hidden state of each token."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.inputs.row import Row
from hfspec.ir.artifact import FULL
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.io.transfer import Arriving
from hfspec.runtime.loading.model import find_model_class, load_one_pass_model
from hfspec.runtime.loading.positions import cut_length, most_tokens
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.loading.tokenizer import load_tokenizer
from hfspec.runtime.runner import Runner
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.text.padding import Padding
from hfspec.runtime.text.token_batch import pad_id, padded
from hfspec.runtime.text.tokens import Tokens, encode, refuse_overlong
from hfspec.settings.precedence import Settings

OFFSETS = "offset_mapping"
# Encoder-decoders that read a text alone, by giving it to their decoder too. Any other gives its encoder's states.
READ_BY_DECODER = ("bart", "bigbird_pegasus", "fsmt", "led", "mbart", "mvp", "plbart")


@dataclass(frozen=True, slots=True)
class Features:
    """A row's result. ``states``: a numpy array (tokens, hidden), float32, special tokens' included; ``tokens``: the
    tokens as the vocabulary has them; ``offsets``: each one's place in the text, (0, 0) for a special token, None where
    the tokenizer does not say.
    """

    states: Any
    tokens: list[str]
    offsets: list[tuple[int, int]] | None


class TokenFeatures(Runner):
    """A runner that answers as the transformers feature-extraction pipeline does for one row alone. An encoder-decoder
    that needs a second text, which that pipeline fails on, gives the states of its encoder.
    """

    look_ahead = 8

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        self.tokenizer = load_tokenizer(request)
        model_class = find_model_class(request)
        # The pooler plays no part in the hidden states, and checkpoints trained with another head lack it.
        has_pooler = "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
        unused: dict[str, Any] = {"add_pooling_layer": False} if has_pooler else {}
        whole, patches = load_one_pass_model(request, model_class, **unused)
        self.loaded = Loaded(model=whole, tokenizer=self.tokenizer, patches=patches)
        takes_two = whole.config.is_encoder_decoder and whole.config.model_type not in READ_BY_DECODER
        self.model = whole.get_encoder() if takes_two else whole
        takes_use_cache = "use_cache" in inspect.signature(self.model.forward).parameters
        self.options = {"use_cache": False} if takes_use_cache else {}
        self.device = request.device
        self.limit = cut_length(self.model, self.tokenizer)
        self.most = most_tokens(request, self.model)
        self.pad = {"input_ids": pad_id(self.model, self.tokenizer)}
        self.padding = Padding(self.model, self.tokenizer, self.pad, self.limit)

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Tokens]]:
        texts = [self.prompt_text(row) for row in rows]
        cut: dict[str, Any] = {"truncation": True, "max_length": self.limit} if settings.get("truncation") else {}
        tokens = encode(self.tokenizer, texts, return_offsets_mapping=self.tokenizer.is_fast, **cut)
        if not cut:
            refuse_overlong(rows, tokens, self.most)
        return [
            Item(row.number, len(mine["input_ids"]), mine, group)
            for row, mine, group in zip(rows, tokens, self.padding.groups(tokens), strict=True)
        ]

    def run(self, batch: Sequence[Item[Tokens]], settings: Settings) -> Arriving | Computed | None:
        """States (rows, tokens, hidden); None where no row has tokens."""
        import torch

        if not any(item.length for item in batch):
            return None
        rows = [{name: ids for name, ids in item.content.items() if name != OFFSETS} for item in batch]
        inputs = padded(rows, self.pad, "right", self.device)
        with torch.inference_mode():
            states = self.model(**inputs, **self.options)[0].float()
            return Arriving(states, [item.length for item in batch])

    def read(
        self,
        output: Arriving | Computed | None,
        batch: Sequence[Item[Tokens]],
        settings: Settings,
    ) -> list[Features]:
        import numpy as np

        if output is None:
            return [self._features(item.content, self._no_states()) for item in batch]
        states = np.asarray(output.here())
        return [self._features(item.content, row) for item, row in zip(batch, states, strict=True)]

    def _no_states(self) -> Any:
        """The states (0, hidden) of an empty text, from which a tokenizer without special tokens makes no token."""
        import numpy as np

        return np.zeros((0, self.model.config.hidden_size), np.float32)

    def _features(self, tokens: Tokens, states: Any) -> Features:
        """``states``: (tokens, hidden), the padding's rows last."""
        ids = tokens["input_ids"]
        offsets: Any = tokens.get(OFFSETS)
        return Features(states[: len(ids)].copy(), self.tokenizer.convert_ids_to_tokens(ids), offsets)

    def standard(self, results: Sequence[Features], settings: Settings) -> Any:
        """(tokens, hidden) for one text, a list of them for any other number."""
        states = [result.states for result in results]
        return states[0] if len(states) == 1 else states

    def answer(self, result: Features, settings: Settings, form: str) -> Any:
        return super().answer(result, settings, form) if form == FULL else result.states

    def full(self, results: Sequence[Features], settings: Settings) -> list[dict[str, Any]]:
        return [{"features": row.states, "tokens": row.tokens, "offsets": row.offsets} for row in results]
