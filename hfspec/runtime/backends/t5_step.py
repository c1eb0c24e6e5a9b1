"""A step of a T5 decoder by oneDNN: one new token a row, with the library's cache and its meaning.

The library computes a step as it computes any other pass: masks are made anew, positions are sorted into buckets, norms
are taken in parts, attention goes through a kernel for long queries, and each of 150 modules is called by Python. Here
a layer is six products, each with what is added to it or done to it, and two attentions of one query a row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from hfspec.runtime.generation.roomy_cache import ROOM

# By the config's names, what oneDNN calls them: done to a product before it is written.
ACTIVATIONS: dict[str, tuple[str, list[Any], str]] = {
    "relu": ("relu", [], ""),
    "gelu_new": ("gelu", [], "tanh"),
    "gelu": ("gelu", [], "none"),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of a layer in oneDNN's order, each with those of the norm before it in them. ``own_in``: of queries,
    keys and values; ``cross_keys``: of keys and values; ``feed_in``: two where one gates the other. ``bias``: the
    attention that knows what distances add to scores, None where it is that of a layer before.
    """

    own_in: Any
    own_out: Any
    cross_in: Any
    cross_keys: Any
    cross_out: Any
    feed_in: tuple[Any, ...]
    feed_out: Any
    bias: Any


def layer(block: Any) -> Layer:
    """The same of the library's layer."""
    own, cross, feed = block.layer
    mine, theirs, dense = own.SelfAttention, cross.EncDecAttention, feed.DenseReluDense
    into = [dense.wi_0, dense.wi_1] if hasattr(dense, "wi_0") else [dense.wi]
    return Layer(
        own_in=_ordered([mine.q, mine.k, mine.v], own.layer_norm),
        own_out=_ordered([mine.o]),
        cross_in=_ordered([theirs.q], cross.layer_norm),
        cross_keys=_ordered([theirs.k, theirs.v]),
        cross_out=_ordered([theirs.o]),
        feed_in=tuple(_ordered([part], feed.layer_norm) for part in into),
        feed_out=_ordered([dense.wo]),
        bias=mine if mine.has_relative_attention_bias else None,
    )


def _ordered(layers: list[Any], norm: Any = None) -> Any:
    """The layers' weights as one; with a norm, they also do what is left of it after _unit()."""
    weight = torch.cat([layer.weight.detach() for layer in layers])
    if norm is not None:
        weight *= norm.weight.detach() * math.sqrt(weight.shape[1])
    return torch.ops.mkldnn._reorder_linear_weight(weight)  # noqa: SLF001


class Distances:
    """What attentions add to a token's scores of those up to itself, which is of their distance alone, so it is kept,
    for some more tokens than are asked for; made anew for weights that have been changed.
    """

    def __init__(self) -> None:
        self._known: dict[Any, tuple[Any, int, Any]] = {}

    def of(self, attention: Any, length: int) -> Any:
        """(heads, ``length``)."""
        weight = attention.relative_attention_bias.weight
        if weight.is_inference():  # whose changes torch does not count
            return _added(attention, length)
        held, version, made = self._known.get(attention, (None, 0, None))
        if held is not weight or version != weight._version or made.shape[1] < length:  # noqa: SLF001 - torch's count
            version, size = weight._version, length + ROOM  # noqa: SLF001
            made = _added(attention, size)
            self._known[attention] = (weight, version, made)
        return made[:, made.shape[1] - length :]


def _added(attention: Any, length: int) -> Any:
    """(heads, ``length``), as the library computes it."""
    return attention.compute_bias(1, length, past_seen_tokens=length - 1)[0, :, 0].contiguous()


def step(stack: Any, layers: tuple[Layer, ...], distances: Distances, given: dict[str, Any]) -> Any:
    """The stack's answer to ``input_ids`` (rows, 1), whose keys and values are added to the cache; the encoder's states
    are (rows, positions, width), its mask (rows, positions).
    """
    hidden, cache = stack.embed_tokens(given["input_ids"])[:, 0], given["past_key_values"]
    rows, heads = len(hidden), stack.config.num_heads
    eps = hidden.new_full((1,), stack.final_layer_norm.variance_epsilon * hidden.shape[1])
    own_cache, cross_cache = cache.self_attention_cache, cache.cross_attention_cache
    unseen, length, near = _unseen(given["encoder_attention_mask"], heads), own_cache.get_seq_length() + 1, None
    for place, layer in enumerate(layers):
        if layer.bias is not None:
            near = distances.of(layer.bias, length).repeat(rows, 1)[:, None]
        queries, keys, values = product(_unit(hidden, eps), layer.own_in).view(rows, 3, heads, 1, -1).unbind(1)
        keys, values = own_cache.update(keys, values, place)
        hidden = product(_attended(queries, keys, values, near), layer.own_out, hidden)
        if not cache.is_updated.get(place):
            source = product(given["encoder_hidden_states"], layer.cross_keys).unflatten(2, (2, heads, -1))
            cross_cache.update(*source.permute(2, 0, 3, 1, 4), place)
            cache.is_updated[place] = True
        queries, held = product(_unit(hidden, eps), layer.cross_in), cross_cache.layers[place]
        hidden = product(_attended(queries, held.keys, held.values, unseen), layer.cross_out, hidden)
        hidden = product(_fed(stack, _unit(hidden, eps), layer.feed_in), layer.feed_out, hidden)
    answer = stack.final_layer_norm(hidden[:, None])
    return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=answer, past_key_values=cache)


def _unseen(mask: Any, heads: int) -> Any:
    """(rows x heads, 1, positions) of what to add to scores: nothing, or for padding the least there is."""
    least = (mask == 0).to(torch.float32).mul_(torch.finfo(torch.float32).min)
    return least[:, None].expand(-1, heads, -1).flatten(0, 1)[:, None]


def product(values: Any, weight: Any, added: Any = None) -> Any:
    """(rows, outputs), and what is added to it."""
    if added is None:
        return torch.ops.mkldnn._linear_pointwise(values, weight, None, "none", [], "")  # noqa: SLF001
    return torch.ops.mkldnn._linear_pointwise.binary(values, added, weight, None, "add")  # noqa: SLF001


def _unit(hidden: Any, eps: Any) -> Any:
    """(rows, width) of length 1, but for ``eps`` beside the squares."""
    return hidden * (hidden * hidden).sum(1, keepdim=True).add_(eps).rsqrt_()


def _fed(stack: Any, hidden: Any, weights: tuple[Any, ...]) -> Any:
    activation = ACTIVATIONS[stack.config.dense_act_fn]
    made = torch.ops.mkldnn._linear_pointwise(hidden, weights[0], None, *activation)  # noqa: SLF001
    if len(weights) == 1:
        return made
    return torch.ops.mkldnn._linear_pointwise.binary(hidden, made, weights[1], None, "mul")  # noqa: SLF001


def _attended(queries: Any, keys: Any, values: Any, bias: Any) -> Any:
    """(rows, heads x features) of ``queries`` of one token, ``keys`` and ``values`` (rows, heads, positions, features)
    and ``bias`` (rows x heads, 1, positions): row and head are one dimension.
    """
    rows, keys, values = len(keys), keys.flatten(0, 1), values.flatten(0, 1)
    odds = torch.baddbmm(bias, queries.reshape(len(keys), 1, -1), keys.transpose(1, 2)).softmax(-1)
    return torch.bmm(odds, values).view(rows, -1)
