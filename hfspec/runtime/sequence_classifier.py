"""Logits for texts and pairs of texts: what every task over a sequence classification head shares."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Sequence
from typing import Any

from hfspec.runtime import parts
from hfspec.runtime.family import Family, Place
from hfspec.runtime.tokens import Tokens


class SequenceClassifier(Family):
    """A family whose model gives one line of logits for each sequence."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.words = parts.tokenizer(place)
        self.model = parts.model(place, parts.library_class(place.manifest.deployment.model_class))
        self.device = place.device
        self.limit = parts.longest(self.model, self.words)
        self.pad = {"input_ids": parts.pad_id(self.model, self.words)}
        self.takes_use_cache = "use_cache" in inspect.signature(self.model.forward).parameters

    def group(self, alone: Hashable, tokens: Tokens) -> Hashable:
        """The group of an item; ``alone``: one that no other item has.

        Padding must not be seen: a decoder that knows no padding token takes one item at a time, and a model padded on
        the left, which reads its answer off the end, only items of one length. An encoder-decoder reads its answer at
        the last end token and takes only items with as many of them.
        """
        ids, config = tokens["input_ids"], self.model.config
        if config.pad_token_id is None and (self.takes_use_cache or self.words.pad_token_id is None):
            return ("alone", alone)
        ends = ids.count(config.eos_token_id) if config.is_encoder_decoder else 0
        return (len(ids) if self.words.padding_side == "left" else 0, ends)

    def logits(self, rows: Sequence[Tokens]) -> Any:
        """(rows, labels), a tensor of float32 on the CPU."""
        import torch

        inputs = parts.padded(rows, self.pad, "right", self.device)
        if self.takes_use_cache:
            inputs["use_cache"] = False
        with torch.inference_mode():
            return self.model(**inputs).logits.float().cpu()
