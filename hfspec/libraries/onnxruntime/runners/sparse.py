"""Sparse embeddings by a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfspec.libraries.onnxruntime.runners.graph_runner import GraphRunner
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.sentences.sentence_encoder import Text
from hfspec.runtime.sentences.sparse_embedding import SparseEmbedding
from hfspec.settings.precedence import Settings


class GraphSparseEmbedding(GraphRunner, SparseEmbedding):
    """Sparse embeddings, the pooling in the graph."""

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        self.settle(request)

    def run(self, batch: Sequence[Item[Text]], settings: Settings) -> Computed:
        (weights,) = self.model([item.content.inputs for item in batch])
        top = settings.get("max_active_dims")
        return Computed(weights if top is None else _heaviest(weights, top))


def _heaviest(weights: Any, count: int) -> Any:
    """(rows, vocabulary) with all but the ``count`` heaviest weights of each row set to 0."""
    import numpy as np

    if count >= weights.shape[1]:
        return weights
    places = np.argpartition(-weights, count - 1, axis=1)[:, :count]
    heaviest = np.zeros_like(weights)
    np.put_along_axis(heaviest, places, np.take_along_axis(weights, places, axis=1), axis=1)
    return heaviest
