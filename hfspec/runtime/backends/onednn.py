"""Linear layers by oneDNN, which torch has in it.

torch gives products of float32 matrices to MKL, which takes twice as long on an AMD processor with AVX-512, and those
of bfloat16 to oneDNN by a longer way (docs/backends.md has the figures). The operator is the one that torch.compile
puts in (torch/_inductor/fx_passes/mkldnn_fusion.py).
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers.pytorch_utils import Conv1D

from hfspec.errors import UsageError

if TYPE_CHECKING:
    from hfspec.runtime.family import Place


# Below it a product is a vector's, which MKL computes as fast and hands over faster.
FEWEST_ROWS = 4


class Linear(torch.nn.Linear):  # type: ignore[misc]
    """The same layer with the same weights; where gradients are asked for, torch's own."""

    def forward(self, values: Any) -> Any:
        if torch.is_grad_enabled() or values.numel() < FEWEST_ROWS * self.in_features:
            return super().forward(values)
        return torch.ops.mkldnn._linear_pointwise(values, self.weight, self.bias, "none", [], "")  # noqa: SLF001


class TransposedLinear(Conv1D):  # type: ignore[misc]
    """The same of GPT-2 and its kin, whose weights are (in, out)."""

    def forward(self, values: Any) -> Any:
        if torch.is_grad_enabled() or values.numel() < FEWEST_ROWS * self.nx:
            return super().forward(values)
        return torch.ops.mkldnn._linear_pointwise(values, self.weight.t(), self.bias, "none", [], "")  # noqa: SLF001


DTYPES = (torch.float32, torch.bfloat16)
LAYERS = {torch.nn.Linear: Linear, Conv1D: TransposedLinear}


@functools.cache
def is_faster(dtype: str) -> bool:
    """Whether it was measured to be faster on processors like this one: AMD's with AVX-512."""
    return _runs(dtype) and torch.backends.cpu.get_cpu_capability() == "AVX512" and _vendor() == "AuthenticAMD"


def _runs(dtype: str) -> bool:
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return dtype == "float32" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001


def _vendor() -> str:
    """As Linux says it; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")


def put(loaded: Any, place: Place) -> Any:
    """The model, its linear layers replaced in place; raises UsageError where torch has no oneDNN, or none for bfloat16
    on this processor.
    """
    if not _runs(place.dtype):
        raise UsageError(
            f"torch {torch.__version__} has no oneDNN for {place.dtype} on this processor; load with backend='torch'."
        )
    for module in loaded.modules():
        if type(module) in LAYERS and module.weight.dtype in DTYPES:
            module.__class__ = LAYERS[type(module)]
    return loaded
