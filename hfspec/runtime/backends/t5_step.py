"""A step of a T5 decoder by oneDNN: one new token a row, with the cache and the meaning of transformers.

transformers computes a step as it computes any other pass: it makes masks anew, sorts positions into buckets, takes
norms in parts, sends attention through a kernel for long queries, and calls each of 150 modules from Python. Here a
layer is six products, each with its addition or activation, and two attentions of one query a row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from hfspec.runtime.generation.roomy_cache import ROOM

# The config's name -> oneDNN's, for the function over a product before it is written.
ACTIVATIONS: dict[str, tuple[str, list[Any], str]] = {
    "relu": ("relu", [], ""),
    "gelu_new": ("gelu", [], "tanh"),
    "gelu": ("gelu", [], "none"),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of a layer in oneDNN's order, times those of the norm before. ``own_in``: of queries, keys and
    values; ``cross_keys``: of keys and values; ``feed_in``: two where one gates the other. ``bias``: the attention that
    knows the addends for distances, None where it is that of a layer before.
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
    """The weights of a layer of transformers."""
    own, cross, feed = block.layer
    mine, theirs, dense = own.SelfAttention, cross.EncDecAttention, feed.DenseReluDense
    into = [dense.wi_0, dense.wi_1] if hasattr(dense, "wi_0") else [dense.wi]
    return Layer(
        own_in=_weights([mine.q, mine.k, mine.v], own.layer_norm),
        own_out=_weights([mine.o]),
        cross_in=_weights([theirs.q], cross.layer_norm),
        cross_keys=_weights([theirs.k, theirs.v]),
        cross_out=_weights([theirs.o]),
        feed_in=tuple(_weights([part], feed.layer_norm) for part in into),
        feed_out=_weights([dense.wo]),
        bias=mine if mine.has_relative_attention_bias else None,
    )


def _weights(layers: list[Any], norm: Any = None) -> Any:
    """The layers' weights as one; with a norm, times the factor that _unit() leaves out of it."""
    weight = torch.cat([layer.weight.detach() for layer in layers])
    if norm is not None:
        weight *= norm.weight.detach() * math.sqrt(weight.shape[1])
    return torch.ops.mkldnn._reorder_linear_weight(weight)  # noqa: SLF001


class Distances:
    """The addends of attentions to a token's scores of those up to itself. They depend on the distance alone, so this
    keeps them, for some more tokens than the call has, and makes them anew for weights that have changed.
    """

    def __init__(self) -> None:
        self._known: dict[Any, tuple[Any, int, Any]] = {}

    def of(self, attention: Any, length: int) -> Any:
        """The addends of an attention, (heads, ``length``)."""
        weight = attention.relative_attention_bias.weight
        if weight.is_inference():  # torch does not count its changes
            return _addends(attention, length)
        owner, version, addends = self._known.get(attention, (None, 0, None))
        if owner is not weight or version != weight._version or addends.shape[1] < length:  # noqa: SLF001 - torch's count
            version, size = weight._version, length + ROOM  # noqa: SLF001
            addends = _addends(attention, size)
            self._known[attention] = (weight, version, addends)
        return addends[:, addends.shape[1] - length :]


def _addends(attention: Any, length: int) -> Any:
    """(heads, ``length``), by the function of transformers."""
    return attention.compute_bias(1, length, past_seen_tokens=length - 1)[0, :, 0].contiguous()


def step(stack: Any, layers: tuple[Layer, ...], distances: Distances, inputs: dict[str, Any]) -> Any:
    """The stack's answer to ``input_ids`` (rows, 1), whose keys and values it adds to the cache; the encoder's states
    are (rows, positions, width), its mask (rows, positions).
    """
    hidden, cache = stack.embed_tokens(inputs["input_ids"])[:, 0], inputs["past_key_values"]
    rows, heads = len(hidden), stack.config.num_heads
    eps = hidden.new_full((1,), stack.final_layer_norm.variance_epsilon * hidden.shape[1])
    own_cache, cross_cache = cache.self_attention_cache, cache.cross_attention_cache
    unseen, length, near = _unseen(inputs["encoder_attention_mask"], heads), own_cache.get_seq_length() + 1, None
    for place, layer in enumerate(layers):
        if layer.bias is not None:
            near = distances.of(layer.bias, length).repeat(rows, 1)[:, None]
        queries, keys, values = product(_unit(hidden, eps), layer.own_in).view(rows, 3, heads, 1, -1).unbind(1)
        keys, values = own_cache.update(keys, values, place)
        hidden = product(_attention(queries, keys, values, near), layer.own_out, hidden)
        if not cache.is_updated.get(place):
            source = product(inputs["encoder_hidden_states"], layer.cross_keys).unflatten(2, (2, heads, -1))
            cross_cache.update(*source.permute(2, 0, 3, 1, 4), place)
            cache.is_updated[place] = True
        queries, states = product(_unit(hidden, eps), layer.cross_in), cross_cache.layers[place]
        hidden = product(_attention(queries, states.keys, states.values, unseen), layer.cross_out, hidden)
        hidden = product(_feed(stack, _unit(hidden, eps), layer.feed_in), layer.feed_out, hidden)
    answer = stack.final_layer_norm(hidden[:, None])
    return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=answer, past_key_values=cache)


def _unseen(mask: Any, heads: int) -> Any:
    """(rows x heads, 1, positions) of addends to scores: 0, or for padding the least number there is."""
    least = (mask == 0).to(torch.float32).mul_(torch.finfo(torch.float32).min)
    return least[:, None].expand(-1, heads, -1).flatten(0, 1)[:, None]


def product(values: Any, weight: Any, added: Any = None) -> Any:
    """The product (rows, outputs), plus ``added``."""
    if added is None:
        return torch.ops.mkldnn._linear_pointwise(values, weight, None, "none", [], "")  # noqa: SLF001
    return torch.ops.mkldnn._linear_pointwise.binary(values, added, weight, None, "add")  # noqa: SLF001


def _unit(hidden: Any, eps: Any) -> Any:
    """(rows, width) of length 1, but for ``eps`` beside the squares."""
    return hidden * (hidden * hidden).sum(1, keepdim=True).add_(eps).rsqrt_()


def _feed(stack: Any, hidden: Any, weights: tuple[Any, ...]) -> Any:
    activation = ACTIVATIONS[stack.config.dense_act_fn]
    gate = torch.ops.mkldnn._linear_pointwise(hidden, weights[0], None, *activation)  # noqa: SLF001
    if len(weights) == 1:
        return gate
    return torch.ops.mkldnn._linear_pointwise.binary(hidden, gate, weights[1], None, "mul")  # noqa: SLF001


def _attention(queries: Any, keys: Any, values: Any, bias: Any) -> Any:
    """(rows, heads x features): the attention of ``queries`` of one token to ``keys`` and ``values`` (rows, heads,
    positions, features) with ``bias`` (rows x heads, 1, positions); row and head are one dimension.
    """
    rows, keys, values = len(keys), keys.flatten(0, 1), values.flatten(0, 1)
    odds = torch.baddbmm(bias, queries.reshape(len(keys), 1, -1), keys.transpose(1, 2)).softmax(-1)
    return torch.bmm(odds, values).view(rows, -1)
