"""Logits for texts and pairs of texts, for every task over a sequence classification head."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Sequence

from hfspec.runtime.io.finite import Computed
from hfspec.runtime.io.transfer import Arriving
from hfspec.runtime.loading.model import find_model_class, load_one_pass_model
from hfspec.runtime.loading.positions import cut_length, most_tokens
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.loading.tokenizer import load_tokenizer
from hfspec.runtime.runner import Runner
from hfspec.runtime.text.padding import Padding
from hfspec.runtime.text.token_batch import pad_id, padded
from hfspec.runtime.text.tokens import Tokens


class SequenceClassifier(Runner):
    """A runner whose model gives one line of logits for each sequence."""

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
        self.takes_use_cache = "use_cache" in inspect.signature(self.model.forward).parameters

    def groups(self, sequences: Sequence[Tokens]) -> list[Hashable]:
        """The group of each sequence, so that padding is not seen.

        A decoder that knows no padding token takes one sequence at a time, a model that sees padding only sequences of
        one length, and an encoder-decoder, which reads its answer at the last end token, only those with as many.
        """
        config = self.model.config
        pads = getattr(config, "pad_token_id", None) is not None
        if not pads and (self.takes_use_cache or self.tokenizer.pad_token_id is None):
            return list(range(len(sequences)))
        ends = [
            tokens["input_ids"].count(config.eos_token_id) if config.is_encoder_decoder else 0 for tokens in sequences
        ]
        return list(zip(self.padding.groups(sequences), ends, strict=True))

    def logits(self, rows: Sequence[Tokens]) -> Arriving | Computed:
        """(rows, labels) of float32, on its way to the host."""
        import torch

        inputs = padded(rows, self.pad, "right", self.device)
        if self.takes_use_cache:
            inputs["use_cache"] = False
        with torch.inference_mode():
            return Arriving(self.model(**inputs).logits.float())
