"""An encoder-decoder model as two graphs: its encoder, and its decoder for one more token a row.

The model is the architecture's class of transformers without weights: generate(), its settings, its beams and its
caches are the library's, and only the numbers come from the graphs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

from hfspec.libraries.onnxruntime.loading import GRAPH, PlainGraph
from hfspec.library_calls.making import making
from hfspec.library_calls.quiet import quiet
from hfspec.runtime.loading.model import find_model_class, load_config
from hfspec.runtime.loading.reading import reading
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.patches.masks import MASK

ENCODER, DECODER = "encoder.onnx", GRAPH
IDS = "input_ids"
# The decoder's inputs for keys (even numbers) and values (odd ones), layer by layer: of the answer's tokens so far, and
# of the text that the encoder has read.
OWN, CROSS = "own", "cross"


def load_graphs(request: LoadRequest) -> Any:
    """The model of an artifact whose encoder and decoder are graphs.

    Args:
        request: The settled arguments of the load.

    Returns:
        A model of the architecture's class, which generate() works on as on one with weights.

    Raises:
        StorageError: A file cannot be read.
    """
    folder, model_class = request.model_folder, find_model_class(request)
    config = load_config(request, folder)
    config.return_dict = True
    with quiet(), reading(folder, "model"), making(), torch.device("meta"):
        model = type(model_class.__name__, (OverGraphs, model_class), {})(config).eval()
        model.generation_config = _generation_config(folder)
    model.take(*(PlainGraph(folder / name, request.threads) for name in (ENCODER, DECODER)))
    return model


def _generation_config(folder: Path) -> Any:
    """The checkpoint's, as the library's from_pretrained() finds it."""
    try:
        return GenerationConfig.from_pretrained(folder, local_files_only=True)
    except OSError:
        named: dict[str, Any] = {"config_file_name": "config.json", "_from_model_config": True}
        return GenerationConfig.from_pretrained(folder, local_files_only=True, **named)


class OverGraphs:
    """The base, before an architecture's class, that gives the numbers of two graphs."""

    device = torch.device("cpu")

    def take(self, encoder: PlainGraph, decoder: PlainGraph) -> None:
        """Answer by both graphs."""
        self._encoder = Encoder(super().get_encoder(), encoder)  # type: ignore[misc]
        self._decoder = decoder
        shapes = [value.shape for value in decoder.session.get_inputs() if value.name.startswith(OWN)]
        self._count, (_, self._heads, _, self._size) = len(shapes), shapes[0]

    def get_encoder(self, *_: Any, **__: Any) -> Encoder:
        """The encoder, whose states are the keys and values that the decoder's layers make of them."""
        return self._encoder

    def forward(
        self,
        *,
        decoder_input_ids: Any,
        encoder_outputs: Any,
        attention_mask: Any,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        **_: Any,
    ) -> Seq2SeqLMOutput:
        """The logits of the last token, (rows, 1, vocabulary), and the cache with these tokens in it; without a cache
        the tokens are the whole answer so far.
        """
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache()) if past_key_values is None else past_key_values
        if not cache.is_updated.get(0):
            self._read(encoder_outputs[0], cache)
        for tokens in decoder_input_ids.split(1, dim=1):
            logits = self._step(tokens, attention_mask, cache)
        return Seq2SeqLMOutput(logits=logits[:, None], past_key_values=None if use_cache is False else cache)

    def _read(self, states: Any, cache: Any) -> None:
        """Put the encoder's keys and values into the cache."""
        parts = states.unflatten(2, (self._count, self._heads, self._size)).permute(2, 0, 3, 1, 4).contiguous()
        for layer in range(self._count // 2):
            cache.cross_attention_cache.update(parts[2 * layer], parts[2 * layer + 1], layer)
            cache.is_updated[layer] = True

    def _step(self, tokens: Any, mask: Any, cache: Any) -> Any:
        """The logits after one more token a row, whose keys and values come into the cache."""
        kept, read = cache.self_attention_cache, cache.cross_attention_cache
        is_first = not kept.get_seq_length()
        nothing = torch.zeros(len(tokens), self._heads, 0, self._size)
        past = [nothing] * self._count if is_first else list(_tensors(kept.layers))
        arrays = {IDS: tokens, MASK: mask}
        arrays |= {f"{OWN}{place}": values for place, values in enumerate(past)}
        arrays |= {f"{CROSS}{place}": values for place, values in enumerate(_tensors(read.layers))}
        logits, *grown = _run(self._decoder, arrays)
        for layer in range(self._count // 2):
            keys, values = grown[2 * layer : 2 * layer + 2]
            if is_first:
                kept.update(keys, values, layer)
            else:
                kept.layers[layer].keys, kept.layers[layer].values = keys, values
        return logits


def _tensors(layers: Sequence[Any]) -> Iterator[Any]:
    for layer in layers:
        yield layer.keys
        yield layer.values


def _run(graph: PlainGraph, tensors: Mapping[str, Any]) -> list[Any]:
    return [torch.from_numpy(array) for array in graph.run({name: tensors[name].numpy() for name in graph.inputs})]


class Encoder(torch.nn.Module):  # type: ignore[misc]
    """The encoder's graph. ``skeleton``: the encoder of transformers, whose tables say how long a text may be."""

    def __init__(self, skeleton: Any, graph: PlainGraph) -> None:
        super().__init__()
        self.skeleton, self.config, self.graph = skeleton, skeleton.config, graph

    def forward(self, input_ids: Any, attention_mask: Any, **_: Any) -> BaseModelOutput:
        """The states: keys and values of all the decoder's layers beside each other, (rows, tokens, features)."""
        (states,) = _run(self.graph, {IDS: input_ids, MASK: attention_mask})
        return BaseModelOutput(last_hidden_state=states)
