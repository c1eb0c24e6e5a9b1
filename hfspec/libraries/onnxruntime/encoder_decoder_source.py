"""An encoder-decoder model on its way to two graphs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from hfspec.checkpoint.spec_sources import Sources
from hfspec.ir.problem import Problem, one_of
from hfspec.libraries.onnxruntime.encoder_decoder import CROSS, DECODER, ENCODER, IDS, OWN
from hfspec.libraries.onnxruntime.examples import TEXTS, Drawing, Examples, Inputs
from hfspec.libraries.onnxruntime.refusal import refusal
from hfspec.runtime.patches.masks import MASK
from hfspec.runtime.text.token_batch import filled
from hfspec.runtime.text.tokens import encode

# Architectures whose graphs are at least 1.5 times as fast as the artifact by torch (docs/onnx.md has the figures), and
# mT5 and UMT5, which have T5's layers.
MODEL_TYPES = ("marian", "mt5", "t5", "umt5")
LONGEST = 512  # tokens of the texts that are compared
STEPS = (0, 1, 5)  # the lengths of the answers after which a next token is compared
ROWS = {0: "rows"}
AXES = {IDS: ROWS, MASK: {**ROWS, 1: "tokens"}, OWN: {**ROWS, 2: "past"}, CROSS: {**ROWS, 2: "tokens"}}


def problems(sources: Sources) -> Iterator[Problem]:
    """Check that the graphs of a checkpoint's architecture are worth making.

    Args:
        sources: The spec and the files of its sources.

    Yields:
        A problem where they are not, at the spec's key ``format``.
    """
    name = sources.model.json("config.json").get("model_type")
    if name not in MODEL_TYPES:
        message = f"Graphs of a {name} decoder were not found fast enough to be made."
        (problem,) = refusal(message, expected=one_of(MODEL_TYPES), found=str(name)).problems
        yield replace(problem, origin=sources.tree.origin(problem.path))


class EncoderDecoderSource:
    """A loaded encoder-decoder model, and what each of its graphs is to compute."""

    def __init__(self, runner: Any) -> None:
        self.owner, self._model = runner, runner.model
        config = runner.model.config
        self._heads = config.num_attention_heads if hasattr(config, "d_kv") else config.decoder_attention_heads
        self._size = getattr(config, "d_kv", config.d_model // self._heads)
        self._layers = _projections(runner.model)

    def drawings(self, computes: str) -> tuple[Drawing, Drawing]:
        """The graphs of the encoder and of the decoder, whose outputs are of the kind ``computes``.

        Raises:
            SpecError: The model computes something else step by step than in one pass.
        """
        words, batches = "texts of several lengths", list(self._batches())
        steps = [step for batch in batches for step in self._answer(batch)]
        example = steps[-1]
        encoder_axes = dict.fromkeys(batches[-1], AXES[MASK])
        decoder_axes = {name: AXES[name.rstrip("0123456789")] for name in example}
        return (
            Drawing(ENCODER, self._encode, Examples(words, batches[-1], encoder_axes, batches), "states"),
            Drawing(DECODER, self._step, Examples(words, example, decoder_axes, steps), computes),
        )

    def facts(self) -> dict[str, Any]:
        """The facts that stand beside the graphs: none, since the runner reads the checkpoint's own files."""
        return {}

    def files(self) -> dict[str, bytes]:
        """The other files beside the graphs: none."""
        return {}

    def _batches(self) -> Iterator[Inputs]:
        """Each text alone, then two of other lengths together."""
        rows = encode(self.owner.tokenizer, TEXTS, truncation=True, max_length=min(self.owner.limit, LONGEST))
        for batch in (*([row] for row in rows), rows[1:3]):
            yield filled(batch, {IDS: self.owner.pad}, "right", [IDS, MASK])

    def _encode(self, inputs: dict[str, Any]) -> Any:
        states = self._model.get_encoder()(inputs[IDS], attention_mask=inputs[MASK])[0]
        return torch.cat([layer(states) for layer in self._layers], dim=-1)

    def _step(self, inputs: dict[str, Any]) -> Any:
        own, cross = DynamicCache(), DynamicCache()
        for place in range(0, len(self._layers), 2):
            for cache, name in ((own, OWN), (cross, CROSS)):
                cache.update(inputs[f"{name}{place}"], inputs[f"{name}{place + 1}"], place // 2)
        cache = EncoderDecoderCache(own, cross)
        cache.is_updated = dict.fromkeys(range(len(self._layers) // 2), True)
        tokens, read = inputs[IDS], inputs[f"{CROSS}0"]
        unread = torch.zeros(tokens.shape[0], read.shape[2], self._model.config.d_model)  # the cache stands for it
        answer = self._model(
            attention_mask=inputs[MASK],
            decoder_input_ids=tokens,
            encoder_outputs=(unread,),
            past_key_values=cache,
            use_cache=True,
        )
        grown = [values for layer in own.layers for values in (layer.keys, layer.values)]
        return (answer.logits[:, -1].float(), *grown)

    def _answer(self, batch: Inputs) -> Iterator[Inputs]:
        """The decoder's inputs for these texts, after some of the tokens of an answer drawn at random."""
        ids, mask = (torch.from_numpy(batch[name]) for name in (IDS, MASK))
        rows, size = len(ids), int(self._model.config.vocab_size)
        tokens = torch.from_numpy(np.random.default_rng(0).integers(size, size=(rows, max(STEPS) + 1)))
        with torch.inference_mode():
            parts = self._encode({IDS: ids, MASK: mask}).unflatten(2, (len(self._layers), self._heads, self._size))
            read = parts.permute(2, 0, 3, 1, 4).contiguous()
            kept = [torch.zeros(rows, self._heads, 0, self._size)] * len(read)
            for place, column in enumerate(tokens.split(1, dim=1)):
                inputs = {IDS: column, MASK: mask, **_numbered(OWN, kept), **_numbered(CROSS, read)}
                if place in STEPS:
                    yield {name: array.numpy() for name, array in inputs.items()}
                logits, *kept = self._step(inputs)
            whole = self._model(input_ids=ids, attention_mask=mask, decoder_input_ids=tokens).logits[:, -1].float()
        if not torch.allclose(logits, whole, rtol=1e-3, atol=1e-3 * float(whole.abs().max())):
            raise refusal("The model computes other numbers token by token than in one pass.")


def _numbered(name: str, arrays: Iterable[Any]) -> dict[str, Any]:
    return {f"{name}{place}": array for place, array in enumerate(arrays)}


def _projections(model: Any) -> list[Any]:
    """The decoder's layers that make keys and values of the encoder's states, in turn."""
    decoder = model.get_decoder()
    if hasattr(decoder, "block"):
        attentions = [block.layer[1].EncDecAttention for block in decoder.block]
        return [layer for attention in attentions for layer in (attention.k, attention.v)]
    attentions = [layer.encoder_attn for layer in decoder.layers]
    return [layer for attention in attentions for layer in (attention.k_proj, attention.v_proj)]
