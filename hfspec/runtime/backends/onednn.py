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
from hfspec.runtime.patches.states import Patched, States, hindrance
from hfspec.runtime.patches.trial import tried
from hfspec.runtime.scheduling import memory

if TYPE_CHECKING:
    from hfspec.runtime.loading.request import LoadRequest

DTYPES = tuple(torch_dtype(name) for name in BACKENDS[ONEDNN].dtypes)
# Calls of a layer after which its weights are put in oneDNN's own order: a process that answers once saves itself that.
CALLS = 2
# Of a model's linear layers: as much memory is taken once more for that order.
MOST_BYTES = 1 << 30
T5_TYPES = frozenset({"t5", "mt5", "umt5"})


class _Layer:
    """What both kinds of layers share. ``calls``: how many are left before the weights are put in oneDNN's own order,
    None for never. ``ordered``: the weights that were, their version then, and what came of it.

    A product does not depend on the order, nor on what else is in the batch: oneDNN computes a single row with weights
    in torch's order in another way, so such a row is given twice.
    """

    calls: int | None = None
    ordered: tuple[Any, int, Any] | None = None
    weight: Any
    bias: Any

    def stored(self) -> Any:
        """The weights as (outputs, inputs)."""
        raise NotImplementedError

    def by_onednn(self, values: Any) -> Any:
        """None where it is not for oneDNN: gradients are asked for, there are no rows, or it has no memory for it."""
        if torch.is_grad_enabled() or not values.numel():
            return None
        try:
            return self._product(values)
        except RuntimeError as error:
            if not memory.is_exhausted(error):
                raise
        return None

    def _product(self, values: Any) -> Any:
        weight = self._ordered()
        if weight is not None:
            return _product(values, weight, self.bias)
        stored = self.stored()
        if values.numel() != stored.shape[1]:
            return _product(values, stored, self.bias)
        twice = values.reshape(1, -1).expand(2, -1).contiguous()
        return _product(twice, stored, self.bias)[:1].view(*values.shape[:-1], -1)

    def _ordered(self) -> Any:
        """The weights in oneDNN's order, None where they are not, or have been changed since, which torch does not
        count of weights that were made in inference mode. Calls at once may put them in order at once, and find the
        same.
        """
        if self.weight.is_inference():
            return None
        made, calls = self.ordered, self.calls
        if made is not None:
            weight, version, found = made
            if weight is self.weight and version == weight._version:  # noqa: SLF001 - torch's own count of changes
                return found
            self.ordered, calls = None, CALLS
        if calls is not None:
            self.calls = calls - 1 if calls else None
            if not calls:
                weight, version = self.weight, self.weight._version  # noqa: SLF001
                found = torch.ops.mkldnn._reorder_linear_weight(self.stored().detach())  # noqa: SLF001
                self.ordered = (weight, version, found)
        return None

    def __getstate__(self) -> dict[str, Any]:
        """A copy has weights of its own to put in order."""
        return {name: value for name, value in self.__dict__.items() if name != "ordered"}


class Linear(_Layer, torch.nn.Linear):  # type: ignore[misc]
    """The same layer with the same weights; where gradients are asked for, torch's own."""

    def forward(self, values: Any) -> Any:
        made = self.by_onednn(values)
        return super().forward(values) if made is None else made

    def stored(self) -> Any:
        return self.weight


class TransposedLinear(_Layer, Conv1D):  # type: ignore[misc]
    """The same of GPT-2 and its kin, whose weights are (in, out)."""

    def forward(self, values: Any) -> Any:
        made = self.by_onednn(values)
        return super().forward(values) if made is None else made

    def stored(self) -> Any:
        return self.weight.t()


class Convolution(_Layer, torch.nn.Conv1d):  # type: ignore[misc]
    """The same over time, (rows, channels, times), as products with all that a step sees. What comes of it lies in
    memory channel by channel, as the next one takes it.
    """

    def forward(self, values: Any) -> Any:
        made = self.by_onednn(self._seen(values)) if values.ndim == 3 else None
        return super().forward(values) if made is None else made.transpose(1, 2)

    def _seen(self, values: Any) -> Any:
        """(rows, steps, what a step sees): a view of the values with the channels last."""
        lines = values.transpose(1, 2).contiguous()
        rows, times, channels = lines.shape
        (size,), (stride,) = self.kernel_size, self.stride
        steps = max(0, (times - size) // stride + 1)
        return lines.as_strided((rows, steps, size * channels), (times * channels, stride * channels, 1))

    def stored(self) -> Any:
        return self.weight.permute(0, 2, 1).flatten(1)


LAYERS = {torch.nn.Linear: Linear, Conv1D: TransposedLinear, torch.nn.Conv1d: Convolution}
# Below, what a step sees is too little to be worth putting in another order.
CHANNELS = 16


def _product(values: Any, weight: Any, bias: Any) -> Any:
    return torch.ops.mkldnn._linear_pointwise(values, weight, bias, "none", [], "")  # noqa: SLF001


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
