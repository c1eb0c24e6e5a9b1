"""Linear layers by oneDNN, which torch has in it and uses by itself for bfloat16 alone.

torch gives products of float32 matrices to MKL, which takes twice as long on an AMD processor with AVX-512
(docs/backends.md has the figures). The operator is the one that torch.compile puts in (torch/_inductor/fx_passes/
mkldnn_fusion.py).
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


LAYERS = {torch.nn.Linear: Linear, Conv1D: TransposedLinear}


@functools.cache
def is_faster() -> bool:
    """Whether it was measured to be faster on processors like this one: AMD's with AVX-512."""
    return _is_there() and torch.backends.cpu.get_cpu_capability() == "AVX512" and _vendor() == "AuthenticAMD"


def _is_there() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _vendor() -> str:
    """As Linux says it; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")


def put(loaded: Any, place: Place) -> Any:  # noqa: ARG001 - as backends are called
    """The model, its linear layers of float32 replaced in place; raises UsageError for a torch without oneDNN."""
    if not _is_there():
        raise UsageError(f"the backend onednn is not in this build of torch {torch.__version__}.")
    for module in loaded.modules():
        if type(module) in LAYERS and module.weight.dtype is torch.float32:
            module.__class__ = LAYERS[type(module)]
    return loaded
