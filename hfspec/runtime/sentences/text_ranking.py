"""Scores for pairs of texts: the answers of CrossEncoder.predict and CrossEncoder.rank, pair by pair."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfspec.errors import InputError, StorageError, UsageError
from hfspec.formats.label_names import label_names
from hfspec.formats.pair_template import PairTemplate, cannot_carry
from hfspec.formats.sentence_modules import (
    is_saved_cross_encoder,
    own_settings,
    pair_modalities,
    read_cross_encoder,
    transformer_settings,
)
from hfspec.formats.sentence_modules import settings as stated
from hfspec.inputs import pairs
from hfspec.inputs.pairs import OneAndOthers
from hfspec.inputs.row import Row
from hfspec.ir.artifact import FULL
from hfspec.library_calls.activations import torch_activation
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.io.functions import sigmoid, softmax
from hfspec.runtime.io.transfer import Arriving
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.sentences.sentence_encoder import fit_tokenizer
from hfspec.runtime.text.sequence_classifier import SequenceClassifier
from hfspec.runtime.text.tokens import Tokens
from hfspec.settings.precedence import Settings
from hfspec.settings.prompts import Prompts


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair ready for the model; ``cut``: whether it had more tokens than the model reads."""

    tokens: Tokens
    cut: bool
    document: str
    listed: bool


@dataclass(frozen=True, slots=True)
class Scored:
    """A pair's result; ``scores`` a numpy array (labels,), float32."""

    scores: Any
    tokens: int
    cut: bool
    document: str
    listed: bool


class TextRanking(SequenceClassifier):
    """A runner that cuts pairs longer than the model reads, the longer text first, as sentence-transformers does."""

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        checkpoint = read_cross_encoder(request.model_folder)
        if checkpoint is None:
            raise StorageError("model/ is not a cross-encoder that hfspec knows: a sequence classifier alone.")
        fit_tokenizer(self.tokenizer, request, checkpoint, self.model)
        self.limit = int(min(self.tokenizer.model_max_length, self.most))
        is_saved = self.settle(request)
        self.pair_template = self._pair_template(
            pair_modalities(transformer_settings(request.model_folder), is_saved=is_saved)
        )
        self.labels = int(self.model.config.num_labels)
        self.activation = _activation(request.model_folder, self.stated, self.labels)

    def settle(self, request: LoadRequest) -> bool:
        """Keep the checkpoint's settings and prompts for its callers; returns whether a CrossEncoder has saved it."""
        config = stated(request.model_folder)
        is_saved = is_saved_cross_encoder(config, has_modules=(request.model_folder / "modules.json").is_file())
        self.stated = config if is_saved else {}
        self.prompts = Prompts(self.stated, roles=False)
        return is_saved

    def _pair_template(self, modalities: Mapping[str, Any] | None) -> PairTemplate | None:
        """The chat template for pairs, None without one; raises UsageError for a template that cannot carry them."""
        if not PairTemplate.applies(self.tokenizer, modalities):
            return None
        template = PairTemplate(self.tokenizer, self.model.config.model_type, modalities)
        if fault := template.fault():
            raise UsageError(
                f"{cannot_carry(fault)}; name a tokenizer whose chat template renders the roles"
                " query and document, or that has none."
            )
        return template

    def own_settings(self) -> dict[str, Any]:
        return own_settings(self.stated, self.task)

    def check(self, settings: Settings) -> None:
        self.prompts.check(settings)

    def check_rows(self, rows: Sequence[Row]) -> None:
        pairs.refuse_mixed(rows, self.task)

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Pair]]:
        texts = [(row.number, mine, other) for row in rows for mine in [self._texts(row)] for other in mine.others]
        encoded = self._pairs([(mine, other) for _, mine, other in texts], settings)
        groups = self.groups([pair.tokens for pair in encoded])
        return [
            Item(number, len(pair.tokens["input_ids"]), pair, group)
            for (number, _, _), pair, group in zip(texts, encoded, groups, strict=True)
        ]

    def _texts(self, row: Row) -> OneAndOthers:
        """The texts of a row; raises InputError naming the row."""
        texts = pairs.pairs_of(row, self.task)
        if self.labels > 1 and texts.listed:
            raise InputError(
                f"documents are ranked by one score, and this model gives {self.labels}: give pairs of query and"
                " document.",
                row=row.number,
            )
        return texts

    def _pairs(self, texts: Sequence[tuple[OneAndOthers, str]], settings: Settings) -> list[Pair]:
        if not texts:
            return []
        prompt = self.prompts.text(settings)
        limit = min(self.limit, settings.get("max_length") or self.limit)
        plain = [(mine.one, other) for mine, other in texts]
        encoded = (
            self._encode(plain, prompt, limit)
            if self.pair_template is None
            else self.pair_template.encode(plain, prompt, limit)
        )
        return [
            Pair(tokens, cut, other, mine.listed) for (tokens, cut), (mine, other) in zip(encoded, texts, strict=True)
        ]

    def _encode(self, texts: Sequence[tuple[str, str]], prompt: str, limit: int) -> list[tuple[Tokens, bool]]:
        """The tokens of the pairs as the tokenizer joins them, and whether each was cut."""
        firsts, seconds = [prompt + query for query, _ in texts], [document for _, document in texts]
        encoded = self.tokenizer(
            firsts, seconds, truncation="longest_first", max_length=limit, padding=False, verbose=False
        )
        tokens = [{name: list(encoded[name][place]) for name in encoded} for place in range(len(texts))]
        if encoded.encodings is not None:
            return [
                (mine, bool(encoding.overflowing)) for mine, encoding in zip(tokens, encoded.encodings, strict=True)
            ]
        whole = self.tokenizer(firsts, seconds, padding=False, verbose=False)["input_ids"]
        return [(mine, len(ids) > limit) for mine, ids in zip(tokens, whole, strict=True)]

    def run(self, batch: Sequence[Item[Pair]], settings: Settings) -> Arriving | Computed:
        return self.logits([item.content.tokens for item in batch])

    def read(self, output: Arriving | Computed, batch: Sequence[Item[Pair]], settings: Settings) -> list[Scored]:
        import numpy as np

        scores = scored_by(str(settings.get("activation_fn") or self.activation))(np.asarray(output.here()))
        if settings.get("apply_softmax") and self.labels > 1:
            scores = softmax(scores)
        return [
            Scored(line, item.length, item.content.cut, item.content.document, item.content.listed)
            for line, item in zip(scores, batch, strict=True)
        ]

    def joined(self, parts: Sequence[Scored], settings: Settings) -> list[Scored]:
        return list(parts)

    def standard(self, results: Sequence[list[Scored]], settings: Settings) -> Any:
        """(pairs,) or (pairs, labels), float32; for queries with documents one array a query, for one query that array
        itself.
        """
        rankings = [row for row in results if not row or row[0].listed]
        if results and rankings:
            arrays = [self._array(row) for row in results]
            return arrays[0] if len(arrays) == 1 else arrays
        return self._array([pair for row in results for pair in row])

    def _array(self, scored: Sequence[Scored]) -> Any:
        import numpy as np

        if not scored:
            return np.empty((0,) if self.labels == 1 else (0, self.labels), np.float32)
        scores = np.stack([pair.scores for pair in scored])
        return scores[:, 0] if self.labels == 1 else scores

    def answer(self, result: list[Scored], settings: Settings, form: str) -> Any:
        """A number for a pair, or an array where the model has several labels; an array for documents."""
        if form == FULL:
            return super().answer(result, settings, form)
        if not result or result[0].listed:
            return self._array(result)
        return float(result[0].scores[0]) if self.labels == 1 else result[0].scores

    def full(self, results: Sequence[list[Scored]], settings: Settings) -> list[dict[str, Any]]:
        labels = label_names(self.model.config)
        names = {} if self.labels == 1 else {"labels": [labels[at] for at in range(self.labels)]}
        return [
            _ranking(row, settings) if not row or row[0].listed else {**names, **_score(row[0]), **_about(row[0])}
            for row in results
        ]


def _score(pair: Scored) -> dict[str, Any]:
    return {"score": float(pair.scores[0])} if len(pair.scores) == 1 else {"scores": pair.scores}


def _about(pair: Scored) -> dict[str, Any]:
    return {"tokens": pair.tokens, "truncated": pair.cut}


def _ranking(row: Sequence[Scored], settings: Settings) -> dict[str, Any]:
    """The ranking in the order of CrossEncoder.rank: best first, documents of one score in the order of the row."""
    entries = [{"corpus_id": place, **_score(pair), **_about(pair)} for place, pair in enumerate(row)]
    if settings.get("return_documents"):
        entries = [{**entry, "text": pair.document} for entry, pair in zip(entries, row, strict=True)]
    entries.sort(key=lambda entry: entry["score"], reverse=True)
    return {"ranking": entries[: settings.get("top_k")]}


def _tanh(logits: Any) -> Any:
    import numpy as np

    return np.tanh(logits)


def _identity(logits: Any) -> Any:
    return logits


FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {
    "identity": _identity,
    "sigmoid": sigmoid,
    "tanh": _tanh,
}


def scored_by(name: str) -> Callable[[Any], Any]:
    """The function of FUNCTIONS, or of torch.nn, over an array of numpy. Raises StorageError for any other name."""
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    import torch

    activation = torch_activation(name)
    return lambda logits: activation(torch.from_numpy(logits)).numpy()


def _activation(model: Path, settings: Mapping[str, Any], labels: int) -> str:
    """The checkpoint's function from logits to scores, from any of the three places where versions of
    sentence-transformers have written it: a name in FUNCTIONS, or a path in torch.nn. A function that is not torch's
    own does not count, as in sentence-transformers.
    """
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    own = config.get("sentence_transformers") or {}
    for path in (
        settings.get("activation_fn"),
        own.get("activation_fn") or (None if "activation_fn" in own else config.get(OLDEST)),
    ):
        if isinstance(path, str) and path.startswith("torch."):
            scored_by(path)  # raises for a path that torch does not have
            own_name = path.rpartition(".")[2].lower()
            return own_name if own_name in FUNCTIONS else path
    return "sigmoid" if labels == 1 else "identity"


OLDEST = "sbert_ce_default_activation_function"
