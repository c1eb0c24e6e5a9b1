"""Logits for texts and pairs of texts: what every task over a sequence classification head shares."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Sequence

from hfspec.runtime import parts
from hfspec.runtime.backends.first_token import first_token_alone
from hfspec.runtime.family import Family, Place
from hfspec.runtime.text.padding import Padding
from hfspec.runtime.text.tokens import Tokens
from hfspec.runtime.transfer import Arriving


class SequenceClassifier(Family):
    """A family whose model gives one line of logits for each sequence."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.words = parts.tokenizer(place)
        self.model = parts.reader(place, parts.model_class(place))
        self.device = place.device
        self.limit = parts.longest(self.model, self.words)
        self.pad = {"input_ids": parts.pad_id(self.model, self.words)}
        self.padding = Padding(self.model, self.words, self.pad, self.limit)
        self.takes_use_cache = "use_cache" in inspect.signature(self.model.forward).parameters

    def groups(self, sequences: Sequence[Tokens]) -> list[Hashable]:
        """The group of each sequence, so that padding is not seen.

        A decoder that knows no padding token takes one sequence at a time, a model that sees padding only sequences of
        one length, and an encoder-decoder, which reads its answer at the last end token, only those with as many.
        """
        config = self.model.config
        pads = getattr(config, "pad_token_id", None) is not None
        if not pads and (self.takes_use_cache or self.words.pad_token_id is None):
            return list(range(len(sequences)))
        ends = [
            tokens["input_ids"].count(config.eos_token_id) if config.is_encoder_decoder else 0 for tokens in sequences
        ]
        return list(zip(self.padding.groups(sequences), ends, strict=True))

    def logits(self, rows: Sequence[Tokens]) -> Arriving:
        """(rows, labels) of float32, on its way to the host."""
        import torch

        inputs = parts.padded(rows, self.pad, "right", self.device)
        if self.takes_use_cache:
            inputs["use_cache"] = False
        with torch.inference_mode(), first_token_alone():
            return Arriving(self.model(**inputs).logits.float())
