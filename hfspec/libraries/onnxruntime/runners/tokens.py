"""Tokens to labels and hidden states by a graph."""

from __future__ import annotations

from collections.abc import Sequence

from hfspec.libraries.onnxruntime.runners.graph_runner import GraphRunner
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.io.functions import softmax
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.text.token_classification import TokenClassification, Window
from hfspec.runtime.text.token_features import TokenFeatures
from hfspec.runtime.text.tokens import Tokens
from hfspec.settings.precedence import Settings


class GraphTokenClassification(GraphRunner, TokenClassification):
    """Labels for tokens."""

    def run(self, batch: Sequence[Item[Window]], settings: Settings) -> Computed | None:
        if not any(item.length for item in batch):
            return None
        (logits,) = self.model([item.content.tokens for item in batch])
        return Computed(softmax(logits), [item.length for item in batch])


class GraphTokenFeatures(GraphRunner, TokenFeatures):
    """The last hidden state of each token."""

    def run(self, batch: Sequence[Item[Tokens]], settings: Settings) -> Computed | None:
        if not any(item.length for item in batch):
            return None
        (states,) = self.model([item.content for item in batch])
        return Computed(states, [item.length for item in batch])
