"""The condition on which a decoder of T5 or its kin takes the steps of t5_step.py: a call for one new token a row, and
for nothing but the answer to it, of transformers' own layers. transformers computes all else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer, EncoderDecoderCache

from hfspec.runtime.backends.onednn_layers import Linear
from hfspec.runtime.backends.t5_step import ACTIVATIONS, Distances, Layer, layer, step
from hfspec.runtime.generation.roomy_cache import RoomyLayer
from hfspec.runtime.patches.states import State, States, hindrance
from hfspec.runtime.patches.table import T5_STEPS
from hfspec.runtime.patches.trial import tried

if TYPE_CHECKING:
    from hfspec.runtime.loading.request import LoadRequest

MODULES = frozenset(f"transformers.models.{name}.modeling_{name}" for name in ("t5", "mt5", "umt5"))
CACHES = frozenset({DynamicLayer, RoomyLayer})
# Relative to the largest value after so many steps: above rounding, far below another meaning.
TOLERANCE = 1e-3
STEPS = 4


@dataclass(frozen=True, slots=True)
class _Made:
    """The layers of the steps; and, in ``source``, the modules, their weights and versions that they come from."""

    layers: tuple[Layer, ...]
    source: tuple[tuple[Any, Any, int], ...]


class Steps:
    """The forward of a decoder's stack. ``made``: checked where a generation begins, None where transformers takes its
    steps; ``looked``: whether it was checked at the beginning of the last one, which transformers may have taken;
    ``agrees``: False once the two have differed. Calls at once may make the same twice.
    """

    def __init__(self, stack: Any) -> None:
        self.stack = stack
        self.__setstate__({"stack": stack})

    def __getstate__(self) -> dict[str, Any]:
        """The stack alone: a copy has weights of its own."""
        return {"stack": self.stack}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.stack = state["stack"]
        self.made: _Made | None = None
        self.agrees, self.looked, self.distances = True, False, Distances()

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        takes = not args and self.agrees and _is_step(self.stack, **inputs)
        own = self._own_layers(inputs) if takes else None
        if own is None:
            self.looked &= takes
            return self._library(*args, **inputs)
        return step(self.stack, own.layers, self.distances, inputs)

    def _library(self, *args: Any, **inputs: Any) -> Any:
        return type(self.stack).forward(self.stack, *args, **inputs)

    def _own_layers(self, inputs: dict[str, Any]) -> _Made | None:
        if any(inputs["past_key_values"].is_updated.values()):
            return self.made if self.looked else None
        own = _layers_of(self.stack, self.made)
        if own is not None and own is not self.made and not self._is_alike(own, inputs):
            self.agrees, own = False, None
        self.made, self.looked = own, True
        return own

    def _is_alike(self, own: _Made, inputs: dict[str, Any]) -> bool:
        """Whether the first steps of the first row equal those of transformers, which versions may define otherwise."""
        names = ("input_ids", "encoder_hidden_states", "encoder_attention_mask")
        row = {name: inputs[name][:1] for name in names} | {"use_cache": True}
        theirs = _first(row, lambda row: self._library(**row))
        ours = _first(row, lambda row: step(self.stack, own.layers, self.distances, row))
        return bool((theirs - ours).abs().max() <= TOLERANCE * theirs.abs().max())


def _first(row: dict[str, Any], take: Callable[[dict[str, Any]], Any]) -> Any:
    """(STEPS, 1, 1, width): the answers of the first steps."""
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    return torch.stack([take(row | {"past_key_values": cache}).last_hidden_state for _ in range(STEPS)])


def put(model: Any, request: LoadRequest) -> States:
    """Let the decoder of a model of these kinds take such steps, unless their trial fails. Its class and weights stay
    those of transformers.
    """
    decoder: Any = getattr(model, "decoder", None)
    if type(decoder).__module__ not in MODULES:
        return {}
    hindered = hindrance(request.patches, T5_STEPS)
    if hindered is not None:
        return {T5_STEPS: hindered}
    if "past_seen_tokens" not in inspect.signature(decoder.block[0].layer[0].SelfAttention.compute_bias).parameters:
        return {T5_STEPS: State(on=False, why="Its attention counts positions in another way.")}
    steps = Steps(decoder)
    state = tried(T5_STEPS, request.dtype, partial(_library_steps, steps), partial(_own_steps, steps))
    if state.on:
        decoder.forward = steps
    return {T5_STEPS: state}


def _row(config: Any) -> dict[str, Any]:
    """The decoder's inputs at the beginning: one token, and the states of five, the last of them padding."""
    states = torch.linspace(-1, 1, 5 * config.d_model).view(1, 5, config.d_model).sin()
    mask = torch.tensor([[1, 1, 1, 1, 0]])
    return {
        "input_ids": torch.tensor([[int(config.decoder_start_token_id or 0)]]),
        "encoder_hidden_states": states,
        "encoder_attention_mask": mask,
        "use_cache": True,
    }


def _library_steps(steps: Steps) -> list[Any]:
    return [_first(_row(steps.stack.config), lambda row: type(steps.stack).forward(steps.stack, **row))]


def _own_steps(steps: Steps) -> list[Any]:
    """The answers of our steps; raises RuntimeError where transformers would take them."""
    steps.made = _layers_of(steps.stack, None)
    if steps.made is None:
        raise RuntimeError("a part of the decoder is not the library's own")
    layers = steps.made.layers
    return [_first(_row(steps.stack.config), lambda row: step(steps.stack, layers, steps.distances, row))]


def _is_step(
    stack: Any,
    *,
    input_ids: Any = None,
    attention_mask: Any = None,
    encoder_hidden_states: Any = None,
    encoder_attention_mask: Any = None,
    inputs_embeds: Any = None,
    past_key_values: Any = None,
    use_cache: Any = None,
    **more: Any,
) -> bool:
    """Whether the call gives one token a row and asks for nothing but its answer; other options must be None."""
    if torch.is_grad_enabled() or stack.training or not use_cache or attention_mask is not None:
        return False
    if inputs_embeds is not None or input_ids is None or input_ids.shape[1:] != (1,) or not len(input_ids):
        return False
    options = (*more.values(), stack.config.output_attentions or None, stack.config.output_hidden_states or None)
    if any(value is not None for value in options) or not _is_known(past_key_values):
        return False
    states, mask = encoder_hidden_states, encoder_attention_mask
    on_cpu = states is not None and states.dtype == torch.float32 and states.device.type == "cpu"
    return on_cpu and mask is not None and mask.ndim == 2 and len(mask) == len(input_ids)


def _is_known(cache: Any) -> bool:
    """Whether the cache holds its keys and values as they come."""
    if type(cache) is not EncoderDecoderCache:
        return False
    parts = (cache.self_attention_cache, cache.cross_attention_cache)
    plain = all(type(part) is DynamicCache and not part.offloading for part in parts)
    return plain and all(type(item) in CACHES for part in parts for item in part.layers)


def _layers_of(stack: Any, before: _Made | None) -> _Made | None:
    """The layers of the steps, ``before`` where it still holds; None where the stack has parts of another origin."""
    parts, module = tuple(_parts(stack)), type(stack).__module__
    if stack.config.dense_act_fn not in ACTIVATIONS or not all(_is_own(part, module) for part in parts):
        return None
    source = tuple((part, part.weight, part.weight._version) for part in parts if hasattr(part, "weight"))  # noqa: SLF001
    if before is not None and len(before.source) == len(source) and all(map(_is_same, before.source, source)):
        return before
    return _Made(tuple(layer(block) for block in stack.block), source)


def _is_same(before: tuple[Any, Any, int], now: tuple[Any, Any, int]) -> bool:
    return before[0] is now[0] and before[1] is now[1] and before[2] == now[2]


def _parts(stack: Any) -> Iterator[Any]:
    """All modules whose weights a step uses without calling them, and those around them."""
    for block in stack.block:
        own, cross, feed = block.layer
        dense = feed.DenseReluDense
        yield from (block, own, cross, feed, own.layer_norm, cross.layer_norm, feed.layer_norm)
        for attention in (own.SelfAttention, cross.EncDecAttention):
            yield from (attention, attention.q, attention.k, attention.v, attention.o)
        yield from (dense, *((dense.wi_0, dense.wi_1) if hasattr(dense, "wi_0") else (dense.wi,)), dense.wo)


def _is_own(part: Any, module: str) -> bool:
    """Whether a part of a stack from this module of transformers is still from there, or a layer of oneDNN's."""
    if "forward" in part.__dict__ or part._forward_hooks or part._forward_pre_hooks:  # noqa: SLF001 - torch's
        return False
    weight = getattr(part, "weight", None)
    if weight is not None and (weight.dtype != torch.float32 or weight.device.type != "cpu" or weight.is_inference()):
        return False  # torch counts no changes of weights made in inference mode
    if type(part) is Linear:
        return part.bias is None
    return type(part).__module__ == module and getattr(part, "scaling", 1.0) == 1.0
