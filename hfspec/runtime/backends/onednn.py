"""Linear layers by oneDNN, which torch has in it.

torch gives products of float32 matrices to MKL, which takes twice as long on an AMD processor with AVX-512, and those
of bfloat16 to oneDNN by a longer way (benchmarks/NOTES.md has the figures). torch.compile uses the same operators
(torch/_inductor/fx_passes/mkldnn_fusion.py).
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from transformers.pytorch_utils import Conv1D

from hfspec.errors import UsageError
from hfspec.ir.backends import BACKENDS, ONEDNN
from hfspec.ir.dtypes import torch_dtype
from hfspec.runtime.backends.onednn_layers import CALLS, LAYERS, Convolution
from hfspec.runtime.patches.states import Patched, States, hindrance
from hfspec.runtime.patches.trial import tried

if TYPE_CHECKING:
    from hfspec.runtime.loading.request import LoadRequest

DTYPES = tuple(torch_dtype(name) for name in BACKENDS[ONEDNN].dtypes)
# The bytes of a model's linear layers up to which they are put in oneDNN's order, which takes as much memory again.
MOST_BYTES = 1 << 30
T5_TYPES = frozenset({"t5", "mt5", "umt5"})
# Channels of a convolution below which another order is not worth it.
CHANNELS = 16


@functools.cache
def is_faster(dtype: str) -> bool:
    """Whether oneDNN is faster than torch's own choice with the instructions that torch finds here, whoever made the
    processor: with AVX-512 (docs/backends.md has the figures).
    """
    return _runs(dtype) and capability() == "AVX512"


def capability() -> str:
    """The vector instructions that torch finds, by its own name for them."""
    return str(torch.backends.cpu.get_cpu_capability())


def _runs(dtype: str) -> bool:
    operators = ("_linear_pointwise", "_reorder_linear_weight")
    if not torch.backends.mkldnn.is_available() or not all(hasattr(torch.ops.mkldnn, name) for name in operators):
        return False
    return dtype == "float32" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001


def _suits(layer: Any) -> bool:
    plain = not isinstance(layer, torch.nn.Conv1d) or (
        (layer.groups, layer.dilation, layer.padding) == (1, (1,), (0,)) and layer.in_channels >= CHANNELS
    )
    return plain and layer.weight.dtype in DTYPES


def put(model: Any, request: LoadRequest) -> Patched:
    """Replace the model's linear layers in place, unless their trial fails. The model and the patches' states; raises
    UsageError where torch has no oneDNN, or none for bfloat16 on this processor.
    """
    hindered = hindrance(request.patches, ONEDNN)
    if hindered is not None:
        return Patched(model, {ONEDNN: hindered})
    if not _runs(request.dtype):
        raise UsageError(
            f"torch {torch.__version__} has no oneDNN for {request.dtype} on this processor; load with backend='torch'."
        )
    layers = [module for module in model.modules() if type(module) in LAYERS and _suits(module)]
    calls = CALLS if sum(layer.weight.nbytes for layer in layers) <= MOST_BYTES else None
    shapes = {(type(layer), layer.weight.shape, layer.weight.dtype, layer.bias is None): layer for layer in layers}
    examples = list(shapes.values())
    state = tried(ONEDNN, request.dtype, partial(_torch_answers, examples), partial(_onednn_answers, examples, calls))
    if not state.on:
        return Patched(model, {ONEDNN: state})
    for layer in layers:
        layer.__class__ = LAYERS[type(layer)]
        layer.calls = calls
    steps: States = {}
    model_type = getattr(getattr(model, "config", None), "model_type", None)
    if request.dtype == "float32" and calls is not None and model_type in T5_TYPES:
        from hfspec.runtime.backends import t5

        steps = t5.put(model, request)
    return Patched(model, {ONEDNN: state, **steps})


def _torch_answers(layers: Sequence[Any]) -> list[Any]:
    """The answers of torch's layers to some rows and to one; both twice, since oneDNN's layers have two ways."""
    return [layer(values) for layer in layers for values in _tried_rows(layer) * 2]


def _onednn_answers(layers: Sequence[Any], calls: int | None) -> list[Any]:
    """The answers of oneDNN's layers with the same weights, before and after the weights are put in oneDNN's order; a
    large model's never are.
    """
    answers = []
    for layer in layers:
        other = copy.copy(layer)
        other.__class__ = LAYERS[type(layer)]
        for calls_left in (None, None if calls is None else 0):
            other.calls = calls_left
            answers += [_by_onednn(other, values) for values in _tried_rows(layer)]
    return answers


def _by_onednn(layer: Any, values: Any) -> Any:
    """The layer's answer; raises RuntimeError where it would fall back on torch's."""
    inputs = layer._seen(values) if isinstance(layer, Convolution) else values  # noqa: SLF001
    answer = layer.by_onednn(inputs)
    if answer is None:
        raise RuntimeError("oneDNN has not taken it")
    return answer.transpose(1, 2) if isinstance(layer, Convolution) else answer


def _tried_rows(layer: Any) -> list[Any]:
    """Example inputs: (rows, inputs) for a linear layer, (rows, channels, times) for a convolution."""
    if isinstance(layer, torch.nn.Conv1d):
        times = layer.kernel_size[0] + 3 * layer.stride[0]
        sizes: list[tuple[int, ...]] = [(rows, layer.in_channels, times) for rows in (3, 1)]
    else:
        inputs = layer.weight.shape[0] if isinstance(layer, Conv1D) else layer.in_features
        sizes = [(rows, inputs) for rows in (3, 1)]
    lines = [torch.linspace(-1, 1, math.prod(size)).view(size).to(layer.weight.dtype) for size in sizes]
    return [values.sin() for values in lines]
