"""When a decoder of T5 or its kin takes the steps of t5_step.py: where one new token a row is asked for, and nothing
but the answer to it, of the library's own layers. All else is computed by the library.
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
# Of the largest value after so many steps: above what rounding does, far below what another meaning does.
TOLERANCE = 1e-3
STEPS = 4


@dataclass(frozen=True, slots=True)
class _Made:
    """What steps are made of, and the modules, their weights and the versions of those that it was made of."""

    layers: tuple[Layer, ...]
    source: tuple[tuple[Any, Any, int], ...]


class Steps:
    """The forward of a decoder's stack. ``made``: looked at where a generation begins, None where its steps are the
    library's; ``looked``: whether it was at the beginning of the last one, which the library may have taken;
    ``agrees``: False once they were found to differ. Calls at once may make the same twice.
    """

    def __init__(self, stack: Any) -> None:
        self.stack = stack
        self.__setstate__({"stack": stack})

    def __getstate__(self) -> dict[str, Any]:
        """A copy has weights of its own."""
        return {"stack": self.stack}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.stack = state["stack"]
        self.made: _Made | None = None
        self.agrees, self.looked, self.distances = True, False, Distances()

    def __call__(self, *args: Any, **given: Any) -> Any:
        takes = not args and self.agrees and _is_step(self.stack, **given)
        made = self._made(given) if takes else None
        if made is None:
            self.looked &= takes
            return self._library(*args, **given)
        return step(self.stack, made.layers, self.distances, given)

    def _library(self, *args: Any, **given: Any) -> Any:
        return type(self.stack).forward(self.stack, *args, **given)

    def _made(self, given: dict[str, Any]) -> _Made | None:
        if any(given["past_key_values"].is_updated.values()):
            return self.made if self.looked else None
        made = _made(self.stack, self.made)
        if made is not None and made is not self.made and not self._is_alike(made, given):
            self.agrees, made = False, None
        self.made, self.looked = made, True
        return made

    def _is_alike(self, made: _Made, given: dict[str, Any]) -> bool:
        """Whether the first steps of the first row are the library's, of which a version may mean something else."""
        names = ("input_ids", "encoder_hidden_states", "encoder_attention_mask")
        row = {name: given[name][:1] for name in names} | {"use_cache": True}
        theirs = _first(row, lambda row: self._library(**row))
        ours = _first(row, lambda row: step(self.stack, made.layers, self.distances, row))
        return bool((theirs - ours).abs().max() <= TOLERANCE * theirs.abs().max())


def _first(row: dict[str, Any], take: Callable[[dict[str, Any]], Any]) -> Any:
    """(STEPS, 1, 1, width): the answers of steps that are taken from the beginning."""
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    return torch.stack([take(row | {"past_key_values": cache}).last_hidden_state for _ in range(STEPS)])


def put(loaded: Any, request: LoadRequest) -> States:
    """Let the decoder of a model of these kinds take such steps, unless their trial fails; what it is and holds stays
    the library's.
    """
    decoder: Any = getattr(loaded, "decoder", None)
    if type(decoder).__module__ not in MODULES:
        return {}
    hindered = hindrance(request.patches, T5_STEPS)
    if hindered is not None:
        return {T5_STEPS: hindered}
    if "past_seen_tokens" not in inspect.signature(decoder.block[0].layer[0].SelfAttention.compute_bias).parameters:
        return {T5_STEPS: State(on=False, why="Its attention counts positions in another way.")}
    steps = Steps(decoder)
    state = tried(T5_STEPS, request.dtype, partial(_of_library, steps), partial(_of_ours, steps))
    if state.on:
        decoder.forward = steps
    return {T5_STEPS: state}


def _row(config: Any) -> dict[str, Any]:
    """What a decoder is given at the beginning: one token, and the states of five, the last of them padding."""
    states = torch.linspace(-1, 1, 5 * config.d_model).view(1, 5, config.d_model).sin()
    mask = torch.tensor([[1, 1, 1, 1, 0]])
    return {
        "input_ids": torch.tensor([[int(config.decoder_start_token_id or 0)]]),
        "encoder_hidden_states": states,
        "encoder_attention_mask": mask,
        "use_cache": True,
    }


def _of_library(steps: Steps) -> list[Any]:
    return [_first(_row(steps.stack.config), lambda row: type(steps.stack).forward(steps.stack, **row))]


def _of_ours(steps: Steps) -> list[Any]:
    """Raises RuntimeError where the steps would be the library's."""
    steps.made = _made(steps.stack, None)
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
    """Whether one token a row is given and nothing asked for but its answer; an option that is not known is None."""
    if torch.is_grad_enabled() or stack.training or not use_cache or attention_mask is not None:
        return False
    if inputs_embeds is not None or input_ids is None or input_ids.shape[1:] != (1,) or not len(input_ids):
        return False
    asked = (*more.values(), stack.config.output_attentions or None, stack.config.output_hidden_states or None)
    if any(value is not None for value in asked) or not _is_known(past_key_values):
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
    return plain and all(type(held) in CACHES for part in parts for held in part.layers)


def _made(stack: Any, known: _Made | None) -> _Made | None:
    """What is known, where it still holds; None where a part of the stack is not the library's own as it was loaded."""
    parts, module = tuple(_parts(stack)), type(stack).__module__
    if stack.config.dense_act_fn not in ACTIVATIONS or not all(_is_own(part, module) for part in parts):
        return None
    source = tuple((part, part.weight, part.weight._version) for part in parts if hasattr(part, "weight"))  # noqa: SLF001
    if known is not None and len(known.source) == len(source) and all(map(_is_same, known.source, source)):
        return known
    return _Made(tuple(layer(block) for block in stack.block), source)


def _is_same(known: tuple[Any, Any, int], found: tuple[Any, Any, int]) -> bool:
    return known[0] is found[0] and known[1] is found[1] and known[2] == found[2]


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
    """Whether a part of a stack from this module of the library is still from there, or a layer of oneDNN's."""
    if "forward" in part.__dict__ or part._forward_hooks or part._forward_pre_hooks:  # noqa: SLF001 - torch's
        return False
    weight = getattr(part, "weight", None)
    if weight is not None and (weight.dtype != torch.float32 or weight.device.type != "cpu" or weight.is_inference()):
        return False  # changes of weights made in inference mode are not counted
    if type(part) is Linear:
        return part.bias is None
    return type(part).__module__ == module and getattr(part, "scaling", 1.0) == 1.0
