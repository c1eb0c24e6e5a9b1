"""Sparse embeddings: the answers of SparseEncoder.encode, text by text."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.errors import StorageError
from hfspec.formats.sentence_modules import own_settings, read_sparse
from hfspec.formats.sentence_modules import settings as stated
from hfspec.inputs.row import Row
from hfspec.integrity.fingerprint import fingerprint
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.io.transfer import Arriving
from hfspec.runtime.loading.model import find_model_class, load_one_pass_model
from hfspec.runtime.loading.positions import cut_length
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.loading.tokenizer import load_tokenizer
from hfspec.runtime.runner import Runner
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.sentences.sentence_encoder import Text, fit_tokenizer, read_texts
from hfspec.runtime.sentences.sentence_layers import splade
from hfspec.runtime.text.padding import Padding
from hfspec.runtime.text.token_batch import pad_id, padded
from hfspec.settings.precedence import Settings
from hfspec.settings.prompts import Prompts


@dataclass(frozen=True, slots=True)
class Weighted:
    """A row's result: token ids, ascending, and their weights, numpy arrays of one length."""

    indices: Any
    values: Any
    tokens: int
    cut: bool


class SparseEmbedding(Runner):
    """A runner that cuts texts longer than the model reads, as sentence-transformers does; full output says so."""

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        checkpoint = read_sparse(request.model_folder)
        if checkpoint is None:
            raise StorageError(
                "model/ is not a sparse encoder that hfspec knows: a masked-language model, SpladePooling."
            )
        self.device = request.device
        model_class = find_model_class(request)
        self.model, patches = load_one_pass_model(request, model_class, checkpoint.transformer)
        self.tokenizer = load_tokenizer(request, checkpoint.transformer)
        self.loaded = Loaded(model=self.model, tokenizer=self.tokenizer, patches=patches)
        fit_tokenizer(self.tokenizer, request, checkpoint, self.model)
        self.takes = set(inspect.signature(self.model.forward).parameters)
        self.pad = {"input_ids": pad_id(self.model, self.tokenizer)}
        self.padding = Padding(self.model, self.tokenizer, self.pad, cut_length(self.model, self.tokenizer))
        self.pooling = checkpoint.modules[0].config
        self.settle(request)

    def settle(self, request: LoadRequest) -> None:
        """Keep the checkpoint's settings and prompts for its callers."""
        self.stated = stated(request.model_folder)
        self.prompts = Prompts(self.stated)

    def own_settings(self) -> dict[str, Any]:
        return own_settings(self.stated, self.task)

    def check(self, settings: Settings) -> None:
        self.prompts.check(settings)

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Text]]:
        prompt = self.prompts.text(settings)
        texts = read_texts(self.tokenizer, [prompt + row.values["text"] for row in rows], self.takes)
        groups = self.padding.groups([text.inputs for text in texts])
        return [
            Item(row.number, text.tokens, text, group) for row, text, group in zip(rows, texts, groups, strict=True)
        ]

    def run(self, batch: Sequence[Item[Text]], settings: Settings) -> Arriving | Computed:
        import torch

        inputs = padded([item.content.inputs for item in batch], self.pad, "right", self.device)
        mask = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"]))
        with torch.inference_mode():
            weights = splade(self.model(**inputs).logits, mask, self.pooling)
            top = settings.get("max_active_dims")
            if top is not None:
                weights = _heaviest(weights, top)
            return Arriving(weights.float())

    def read(
        self,
        output: Arriving | Computed,
        batch: Sequence[Item[Text]],
        settings: Settings,
    ) -> list[Weighted]:
        import numpy as np

        rows = []
        for weights, item in zip(np.asarray(output.here()), batch, strict=True):
            (indices,) = weights.nonzero()
            rows.append(Weighted(indices, weights[indices], item.content.tokens, item.content.cut))
        return rows

    def standard(self, results: Sequence[Weighted], settings: Settings) -> list[dict[str, Any]]:
        return [{"indices": row.indices, "values": row.values} for row in results]

    def full(self, results: Sequence[Weighted], settings: Settings) -> list[dict[str, Any]]:
        mark = fingerprint(self.request.space or "", self.request.dtype, settings, self.prompts)
        return [
            {
                "indices": row.indices,
                "values": row.values,
                "dimension": int(self.model.config.vocab_size),
                "terms": self._terms(row),
                "tokens": row.tokens,
                "truncated": row.cut,
                "fingerprint": mark,
            }
            for row in results
        ]

    def _terms(self, row: Weighted) -> list[dict[str, Any]]:
        """The terms in the order of SparseEncoder.decode: heaviest first, at one weight the smaller token id first."""
        names = self.tokenizer.convert_ids_to_tokens(row.indices.tolist())
        pairs = sorted(zip(names, row.values.tolist(), strict=True), key=lambda pair: -pair[1])
        return [{"token": name, "weight": weight} for name, weight in pairs]


def _heaviest(weights: Any, count: int) -> Any:
    """(rows, vocabulary) with all but the ``count`` heaviest weights of each row set to 0."""
    import torch

    top = weights.topk(min(count, weights.shape[1]), dim=1)
    return torch.zeros_like(weights).scatter(1, top.indices, top.values)
