"""Whether peft makes the same layers of an adapter at every load, and whether it can merge them: tried with peft itself
on one small layer of each kind that the adapter targets, with numbers of its own, since no rule of peft's says so.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hfspec.checkpoint.adapters.adapter import AS_LORA, Adapter
from hfspec.checkpoint.adapters.merger import holder, of_module
from hfspec.formats.adapter_config import BEFORE_NAMES, CONFIG
from hfspec.ir.problem import Problem

# Beginnings that leave the base's weights alone, and all of which the stored tensors replace.
PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal")
STARTS = ("init_lora_weights", "init_weights", "psoft_svd", "save_projection")
MERGED = "merge it where it was trained (merge_and_unload), and name the merged model as `model`"
BASE = ".base_layer."
# peft has no class of its own for what it cannot do.
RAISED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A layer's tensors after a load. ``base``: those of the model's own module; ``own``: the adapter's."""

    base: Mapping[str, Any]
    own: Mapping[str, Any]
    saved: Mapping[str, Any]


def load_problems(adapter: Adapter, wrapped: Any) -> Iterator[Problem]:
    """Weights that peft computes or draws when it loads the adapter, which the adapter therefore does not bring.

    ``wrapped``: a model of shapes with the adapter's layers in it.
    """
    if adapter.config.get("save_projection") is False:
        yield _problem(
            adapter,
            "draws the projections of the adapter anew when it loads it, from a seed that is not sure to give the same"
            " on another machine",
            "save it with save_projection: true",
        )
        return
    for name, layer in _layers(wrapped):
        why = _not_the_same(adapter, name, layer)
        if why:
            yield _problem(adapter, why, AS_LORA if adapter.kind == "LORA" else MERGED)
            return


def unmergeable(adapter: Adapter, wrapped: Any) -> str:
    """Why peft refuses to merge a layer of the adapter, in its own words; empty where it merges."""
    for name, layer in _layers(wrapped):
        try:
            with _quietly():
                _put_on(adapter, name, _made(layer, 1), 1).merge_and_unload()
        except RAISED as error:
            return " ".join(str(error).split()) or type(error).__name__
    return ""


def _problem(adapter: Adapter, why: str, remedy: str) -> Problem:
    settings = ", ".join(
        f"{key}: {adapter.config[key]}" for key in STARTS if adapter.config.get(key) not in (None, True)
    )
    return adapter.files.problem(
        "unknown-adapter", f"peft {why} ({settings or adapter.kind})", found=settings or adapter.kind, remedy=remedy
    )


def _not_the_same(adapter: Adapter, name: str, layer: Any) -> str:
    """The difference between loads of what peft saves of such an adapter; empty where there is none."""
    try:
        with _quietly():
            saved = _loaded(adapter, name, _made(layer, 1), 1, None).saved
            first = _loaded(adapter, name, _made(layer, 1), 1, saved)
            other_seed = _loaded(adapter, name, _made(layer, 1), 2, saved)
            other_base = _loaded(adapter, name, _made(layer, 2), 1, saved)
    except RAISED as error:
        start = adapter.config.get("init_lora_weights")
        reason = " ".join(str(error).split()) or type(error).__name__
        return "" if start in PLAIN_STARTS else f"cannot begin the adapter again: {reason}"
    if not _same(other_seed.base, dict(_made(layer, 1).named_parameters())):
        return f"changes the base's weights when it loads the adapter, by what {CONFIG} says and its tensors do not"
    if not _same(first.own, other_seed.own):
        return "draws weights of the adapter anew at every load"
    if not _same(first.own, {key: one for key, one in other_base.own.items() if not _is_copied(one, other_base.base)}):
        return "computes weights of the adapter from the base's at every load"
    return ""


def _loaded(adapter: Adapter, name: str, module: Any, seed: int, saved: Mapping[str, Any] | None) -> Loaded:
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    wrapped = _put_on(adapter, name, module, seed)
    if saved is not None:
        set_peft_model_state_dict(wrapped, dict(saved))
    tensors = {**dict(wrapped.named_parameters()), **dict(wrapped.named_buffers())}
    base = {key.split(BASE)[-1]: tensor for key, tensor in tensors.items() if BASE in key}
    own = {key: tensor for key, tensor in tensors.items() if BASE not in key}
    state = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    return Loaded(base, own, {key: tensor.detach().clone() for key, tensor in state.items()})


def _put_on(adapter: Adapter, name: str, module: Any, seed: int) -> Any:
    import torch
    from peft import PeftModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PeftModel(holder(name, module), of_module(adapter.config, name)).eval()


def _layers(wrapped: Any) -> Iterator[tuple[str, Any]]:
    """The smallest target of each class, with a bias and without one, by its name in the model."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    smallest: dict[Any, tuple[int, str, Any]] = {}
    for place, module in wrapped.named_modules():
        if not isinstance(module, BaseTunerLayer):
            continue
        layer = module.get_base_layer()
        size = sum(parameter.numel() for parameter in layer.parameters())
        key = (type(layer), getattr(layer, "bias", None) is None)
        if size and (key not in smallest or size < smallest[key][0]):
            smallest[key] = (size, place.removeprefix(BEFORE_NAMES), layer)
    for _, name, layer in smallest.values():
        yield name, layer


def _made(layer: Any, seed: int) -> Any:
    """The layer of shapes as a real one, in float32, with numbers of its own."""
    import torch

    copied = copy.deepcopy(layer).to_empty(device="cpu").float()
    numbers = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=numbers))
    return copied.requires_grad_(False)


def _is_copied(tensor: Any, base: Mapping[str, Any]) -> bool:
    """Whether every number is one of the base's, as the rows that trained tokens replace: nothing is computed."""
    import torch

    return any(bool(torch.isin(tensor, weights).all()) for weights in base.values())


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    import torch

    return all(key in one and torch.equal(one[key], tensor) for key, tensor in other.items())


def _quietly() -> warnings.catch_warnings:
    return warnings.catch_warnings(action="ignore")  # what matters in them is a problem here
