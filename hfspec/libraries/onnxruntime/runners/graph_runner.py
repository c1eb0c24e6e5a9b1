"""The part that the runners of graphs over text share."""

from __future__ import annotations

from typing import Any

from hfspec.libraries.onnxruntime.loading import Graph
from hfspec.libraries.onnxruntime.tokenizer import GraphTokenizer
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.loading.shared_tokenizer import SharedTokenizer
from hfspec.runtime.runner import Runner
from hfspec.runtime.text.padding import KnownPadding, Padding


class GraphRunner(Runner):
    """A runner whose attributes are those that torch's runner had when the graph was made."""

    model: Any

    def __init__(self, request: LoadRequest) -> None:
        self.take(request)
        self.model = Graph(request.model_folder, request.threads)
        self.tokenizer: Any = tokenizer_of(request, self.model)
        self.loaded = Loaded(model=self.model, tokenizer=self.tokenizer)
        self.device = request.device
        self.padding: Padding = KnownPadding(is_seen=self.model.sees_padding)
        vars(self).update(self.model.attributes)


def tokenizer_of(request: LoadRequest, graph: Graph) -> Any:
    """The tokenizer beside a graph, for calls at once."""
    return SharedTokenizer(GraphTokenizer(request.model_folder, graph.tokenizer))
