"""Linear layers by oneDNN, which torch has in it.

torch gives products of float32 matrices to MKL, which takes twice as long on an AMD processor with AVX-512, and those
of bfloat16 to oneDNN by a longer way (benchmarks/NOTES.md has the figures). The operators are those that torch.compile
puts in (torch/_inductor/fx_passes/mkldnn_fusion.py).
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
# Of a model's linear layers: as much memory is taken once more for that order.
MOST_BYTES = 1 << 30
T5_TYPES = frozenset({"t5", "mt5", "umt5"})


# Below, what a step sees is too little to be worth putting in another order.
CHANNELS = 16


@functools.cache
def is_faster(dtype: str) -> bool:
    """Whether it was measured to be faster than torch's own choice with the instructions that torch finds here, whoever
    made the processor: with AVX-512 (docs/backends.md has the figures).
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


def put(loaded: Any, request: LoadRequest) -> Patched:
    """The model, its linear layers replaced in place, unless their trial fails; raises UsageError where torch has no
    oneDNN, or none for bfloat16 on this processor.
    """
    hindered = hindrance(request.patches, ONEDNN)
    if hindered is not None:
        return Patched(loaded, {ONEDNN: hindered})
    if not _runs(request.dtype):
        raise UsageError(
            f"torch {torch.__version__} has no oneDNN for {request.dtype} on this processor; load with backend='torch'."
        )
    layers = [module for module in loaded.modules() if type(module) in LAYERS and _suits(module)]
    calls = CALLS if sum(layer.weight.nbytes for layer in layers) <= MOST_BYTES else None
    shapes = {(type(layer), layer.weight.shape, layer.weight.dtype, layer.bias is None): layer for layer in layers}
    examples = list(shapes.values())
    state = tried(ONEDNN, request.dtype, partial(_library, examples), partial(_replaced, examples, calls))
    if not state.on:
        return Patched(loaded, {ONEDNN: state})
    for layer in layers:
        layer.__class__ = LAYERS[type(layer)]
        layer.calls = calls
    steps: States = {}
    if request.dtype == "float32" and calls is not None and _model_type(loaded) in T5_TYPES:
        from hfspec.runtime.backends import t5

        steps = t5.put(loaded, request)
    return Patched(loaded, {ONEDNN: state, **steps})


def _library(layers: Sequence[Any]) -> list[Any]:
    """What the library's layers make of some rows and of one; both twice, since the others have two ways."""
    return [layer(values) for layer in layers for values in _tried_rows(layer) * 2]


def _replaced(layers: Sequence[Any], calls: int | None) -> list[Any]:
    """What layers with the same weights make of them, before and after the weights are put in oneDNN's order, which of
    large models they never are.
    """
    made = []
    for layer in layers:
        other = copy.copy(layer)
        other.__class__ = LAYERS[type(layer)]
        for left in (None, None if calls is None else 0):
            other.calls = left
            made += [_by_onednn(other, values) for values in _tried_rows(layer)]
    return made


def _by_onednn(layer: Any, values: Any) -> Any:
    """Raises RuntimeError where the layer would fall back on the library's."""
    seen = layer._seen(values) if isinstance(layer, Convolution) else values  # noqa: SLF001
    made = layer.by_onednn(seen)
    if made is None:
        raise RuntimeError("oneDNN has not taken it")
    return made.transpose(1, 2) if isinstance(layer, Convolution) else made


def _tried_rows(layer: Any) -> list[Any]:
    """Of a linear layer (rows, inputs), of a convolution (rows, channels, times)."""
    if isinstance(layer, torch.nn.Conv1d):
        times = layer.kernel_size[0] + 3 * layer.stride[0]
        sizes: list[tuple[int, ...]] = [(rows, layer.in_channels, times) for rows in (3, 1)]
    else:
        inputs = layer.weight.shape[0] if isinstance(layer, Conv1D) else layer.in_features
        sizes = [(rows, inputs) for rows in (3, 1)]
    made = [torch.linspace(-1, 1, math.prod(size)).view(size).to(layer.weight.dtype) for size in sizes]
    return [values.sin() for values in made]


def _model_type(loaded: Any) -> str | None:
    return getattr(getattr(loaded, "config", None), "model_type", None)
