"""A decoder's step of T5 and its kin by oneDNN: one new token a row, with the library's cache and its meaning.

The library computes such a step as it computes any other pass: masks are made anew, positions are sorted into buckets,
norms are taken in parts, attention goes through a kernel for long queries, and each of 150 modules is called by Python.
Here it is four products for a token's own attention and what follows it, each with what is added to it or done to its
result. All other passes are the library's own.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from hfspec.runtime.backends.onednn import Linear
from hfspec.runtime.generation.roomy_cache import ROOM, RoomyLayer

MODULES = frozenset(f"transformers.models.{name}.modeling_{name}" for name in ("t5", "mt5", "umt5"))
# By the config's names, what oneDNN calls them: done to a product before it is written.
ACTIVATIONS = {"relu": ("relu", [], ""), "gelu_new": ("gelu", [], "tanh"), "gelu": ("gelu", [], "none")}
CACHES = frozenset({DynamicLayer, RoomyLayer})
# Of the largest value after so many steps: above what rounding does, far below what another meaning does.
TOLERANCE = 1e-3
STEPS = 2


@dataclass(frozen=True, slots=True)
class _Layer:
    """The weights of a layer in oneDNN's order, each with those of the norm before it in them. ``own_in``: of queries,
    keys and values; ``cross_keys``: of keys and values; ``feed_in``: two where one gates the other. ``distances``: the
    attention that knows them, None where they are those of a layer before.
    """

    own_in: Any
    own_out: Any
    cross_in: Any
    cross_keys: Any
    cross_out: Any
    feed_in: tuple[Any, ...]
    feed_out: Any
    distances: Any


@dataclass(frozen=True, slots=True)
class _Made:
    """What a stack's steps are made of, and the modules, weights and versions of weights that it was made of."""

    layers: tuple[_Layer, ...]
    source: tuple[tuple[Any, Any, int], ...]


class _Steps:
    """The forward of a decoder's stack. ``made``: looked at where a generation begins, None where a step would not be
    the library's; ``near``: see _distances(). Calls at once may make the same twice.
    """

    def __init__(self, stack: Any) -> None:
        self.stack = stack
        self.made: _Made | None = None
        self.near: dict[int, tuple[Any, int, Any]] = {}

    def __call__(self, *args: Any, **given: Any) -> Any:
        made = None if args or not _is_plain(self.stack, **given) else self._made(given)
        return self.library(*args, **given) if made is None else self.step(made, **given)

    def library(self, *args: Any, **given: Any) -> Any:
        return type(self.stack).forward(self.stack, *args, **given)

    def step(self, made: _Made, **given: Any) -> Any:
        source = given["encoder_hidden_states"], given["encoder_attention_mask"]
        return _step(self, made.layers, given["input_ids"], given["past_key_values"], *source)

    def _made(self, given: dict[str, Any]) -> _Made | None:
        if any(given["past_key_values"].is_updated.values()):
            return self.made
        known, made = self.made, _made(self.stack, self.made)
        if made is not known and made is not None and not self._agrees(made, given):
            made = None
        self.made = made
        return made

    def _agrees(self, made: _Made, given: dict[str, Any]) -> bool:
        """Whether the first steps of the first row are the library's, whose next version may mean something else."""
        names = ("input_ids", "encoder_hidden_states", "encoder_attention_mask")
        row = {name: given[name][:1] for name in names} | {"use_cache": True}
        both = []
        for forward in (self.library, functools.partial(self.step, made)):
            cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
            passes = [forward(**row, past_key_values=cache).last_hidden_state for _ in range(STEPS)]
            both.append(torch.stack(passes))
        theirs, ours = both
        return bool((theirs - ours).abs().max() <= TOLERANCE * theirs.abs().max())

    def __getstate__(self) -> dict[str, Any]:
        """A copy has weights of its own."""
        return {"stack": self.stack, "made": None, "near": {}}


def put(loaded: Any) -> None:
    """Let the decoder of a model of these kinds take such steps; what it is and holds stays the library's."""
    decoder = getattr(loaded, "decoder", None)
    if type(decoder).__module__ in MODULES:
        biases = inspect.signature(decoder.block[0].layer[0].SelfAttention.compute_bias).parameters
        if "past_seen_tokens" in biases:  # other versions count otherwise
            decoder.forward = _Steps(decoder)


def _is_plain(
    stack: Any,
    input_ids: Any = None,
    attention_mask: Any = None,
    encoder_hidden_states: Any = None,
    encoder_attention_mask: Any = None,
    inputs_embeds: Any = None,
    past_key_values: Any = None,
    use_cache: Any = None,
    **more: Any,
) -> bool:
    """Whether this is a step of one token a row, and nothing is asked for but its answer."""
    if torch.is_grad_enabled() or stack.training or not use_cache or attention_mask is not None:
        return False
    if inputs_embeds is not None or input_ids is None or input_ids.shape[1:] != (1,) or not len(input_ids):
        return False
    if any(value is not None for value in more.values()) or not _is_known(past_key_values):
        return False
    if stack.config.output_attentions or stack.config.output_hidden_states:
        return False
    states, mask = encoder_hidden_states, encoder_attention_mask
    on_cpu = states is not None and states.dtype == torch.float32 and states.device.type == "cpu"
    return on_cpu and mask is not None and mask.ndim == 2 and len(mask) == len(input_ids)


def _is_known(cache: Any) -> bool:
    """Whether it holds what it is given, as it is given."""
    if type(cache) is not EncoderDecoderCache:
        return False
    parts = (cache.self_attention_cache, cache.cross_attention_cache)
    plain = all(type(part) is DynamicCache and not part.offloading for part in parts)
    return plain and all(type(layer) in CACHES for part in parts for layer in part.layers)


def _made(stack: Any, known: _Made | None) -> _Made | None:
    """What is known, where it still holds; None where a part of the stack is not the library's own as it was loaded."""
    parts, module = tuple(_parts(stack)), type(stack).__module__
    if stack.config.dense_act_fn not in ACTIVATIONS or not all(_is_own(part, module) for part in parts):
        return None
    source = tuple((part, part.weight, part.weight._version) for part in parts if hasattr(part, "weight"))  # noqa: SLF001
    if known is not None and len(known.source) == len(source) and all(map(_is_same, known.source, source)):
        return known
    return _Made(tuple(_layer(block) for block in stack.block), source)


def _is_same(known: tuple[Any, Any, int], found: tuple[Any, Any, int]) -> bool:
    return known[0] is found[0] and known[1] is found[1] and known[2] == found[2]


def _parts(stack: Any) -> Iterator[Any]:
    """All that a step does not call."""
    for block in stack.block:
        yield from (block, *block.layer)
        for layer in block.layer:
            yield layer.layer_norm
        for part in (block.layer[0].SelfAttention, block.layer[1].EncDecAttention):
            yield from (part, part.q, part.k, part.v, part.o)
        dense = block.layer[2].DenseReluDense
        yield from (dense, *(part for part in dense.children() if isinstance(part, torch.nn.Linear)))


def _is_own(part: Any, module: str) -> bool:
    """Whether a part of a stack from this module of the library is still from there, or a layer of oneDNN's."""
    if "forward" in part.__dict__ or part._forward_hooks or part._forward_pre_hooks:  # noqa: SLF001 - torch's
        return False
    weight = getattr(part, "weight", None)
    if weight is not None and (weight.dtype != torch.float32 or weight.device.type != "cpu" or weight.is_inference()):
        return False  # changes of weights made in inference mode are not counted
    if type(part) is Linear:
        return part.bias is None
    return type(part).__module__ == module and getattr(part, "scaling", 1.0) == 1.0


def _layer(block: Any) -> _Layer:
    own, cross, feed = block.layer
    mine, theirs, dense = own.SelfAttention, cross.EncDecAttention, feed.DenseReluDense
    into = [dense.wi_0, dense.wi_1] if hasattr(dense, "wi_0") else [dense.wi]
    return _Layer(
        own_in=_ordered([mine.q, mine.k, mine.v], own.layer_norm),
        own_out=_ordered([mine.o]),
        cross_in=_ordered([theirs.q], cross.layer_norm),
        cross_keys=_ordered([theirs.k, theirs.v]),
        cross_out=_ordered([theirs.o]),
        feed_in=tuple(_ordered([part], feed.layer_norm) for part in into),
        feed_out=_ordered([dense.wo]),
        distances=mine if mine.has_relative_attention_bias else None,
    )


def _ordered(layers: list[Any], norm: Any = None) -> Any:
    """The layers' weights as one; with a norm, they also do what it does after _lengthened()."""
    weight = torch.cat([layer.weight.detach() for layer in layers])
    if norm is not None:
        weight *= norm.weight.detach() * math.sqrt(weight.shape[1])
    return torch.ops.mkldnn._reorder_linear_weight(weight)  # noqa: SLF001


def _step(steps: _Steps, layers: tuple[_Layer, ...], ids: Any, cache: Any, states: Any, mask: Any) -> Any:
    """The decoder's answer to ``ids`` (rows, 1), whose keys and values are added to the cache; ``states``: (rows,
    positions, width) and ``mask``: (rows, positions) of the encoder, 0 for padding.
    """
    stack = steps.stack
    hidden = stack.embed_tokens(ids)[:, 0]
    eps, heads = stack.final_layer_norm.variance_epsilon, stack.config.num_heads
    own_cache, cross_cache = cache.self_attention_cache, cache.cross_attention_cache
    length, near = own_cache.get_seq_length() + 1, None
    unseen = (mask == 0).to(hidden.dtype).mul_(torch.finfo(hidden.dtype).min)
    unseen = unseen[:, None].expand(-1, heads, -1).flatten(0, 1)[:, None]
    for place, layer in enumerate(layers):
        if layer.distances is not None:
            near = _distances(steps, place, layer.distances, length).repeat(len(ids), 1)[:, None]
        queries, keys, values = _product(_scaled(hidden, eps), layer.own_in).view(len(ids), 3, heads, 1, -1).unbind(1)
        keys, values = own_cache.update(keys, values, place)
        hidden = _product(_attended(queries, keys, values, near), layer.own_out, hidden)
        if not cache.is_updated.get(place):
            keys, values = _product(states, layer.cross_keys).unflatten(2, (2, heads, -1)).permute(2, 0, 3, 1, 4)
            cross_cache.update(keys, values, place)
            cache.is_updated[place] = True
        queries, held = _product(_scaled(hidden, eps), layer.cross_in), cross_cache.layers[place]
        hidden = _product(_attended(queries, held.keys, held.values, unseen), layer.cross_out, hidden)
        hidden = _product(_fed(stack, _scaled(hidden, eps), layer.feed_in), layer.feed_out, hidden)
    answer = stack.final_layer_norm(hidden[:, None])
    return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=answer, past_key_values=cache)


def _product(values: Any, weight: Any, added: Any = None) -> Any:
    if added is None:
        return torch.ops.mkldnn._linear_pointwise(values, weight, None, "none", [], "")  # noqa: SLF001
    return torch.ops.mkldnn._linear_pointwise.binary(values, added, weight, None, "add")  # noqa: SLF001


def _scaled(hidden: Any, eps: float) -> Any:
    """(rows, width) of length 1, but for ``eps`` and for what the norm's weights do, which is in the product's."""
    width = hidden.shape[1]
    squares = torch.linalg.vecdot(hidden, hidden).add_(eps * width)
    return hidden * squares.rsqrt_()[:, None]


def _fed(stack: Any, hidden: Any, weights: tuple[Any, ...]) -> Any:
    name, scalars, algorithm = ACTIVATIONS[stack.config.dense_act_fn]
    made = torch.ops.mkldnn._linear_pointwise(hidden, weights[0], None, name, scalars, algorithm)  # noqa: SLF001
    if len(weights) == 1:
        return made
    return torch.ops.mkldnn._linear_pointwise.binary(hidden, made, weights[1], None, "mul")  # noqa: SLF001


def _attended(queries: Any, keys: Any, values: Any, bias: Any) -> Any:
    """(rows, heads x features) of ``queries`` of one token, ``keys`` and ``values`` (rows, heads, positions, features)
    and ``bias`` (rows x heads, 1, positions): row and head are one dimension.
    """
    rows = len(keys)
    keys, values = keys.flatten(0, 1), values.flatten(0, 1)
    odds = torch.baddbmm(bias, queries.reshape(len(keys), 1, -1), keys.transpose(1, 2)).softmax(-1)
    return torch.bmm(odds, values).view(rows, -1)


def _distances(steps: _Steps, place: int, attention: Any, length: int) -> Any:
    """(heads, ``length``): what a layer adds to a token's scores of those up to itself, which is of their distance
    alone, so it is kept, for some more tokens than are asked for; made anew for weights that have been changed.
    """
    weight = attention.relative_attention_bias.weight
    held, version, made = steps.near.get(place, (None, 0, None))
    if held is not weight or version != weight._version or made.shape[1] < length:  # noqa: SLF001 - torch's own count
        version, size = weight._version, length + ROOM  # noqa: SLF001
        made = attention.compute_bias(1, size, past_seen_tokens=size - 1)[0, :, 0].contiguous()
        steps.near = {**steps.near, place: (weight, version, made)}
    return made[:, made.shape[1] - length :]
