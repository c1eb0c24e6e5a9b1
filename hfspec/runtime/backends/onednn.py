"""Linear layers by oneDNN, which torch has in it and uses by itself for bfloat16 alone.

torch gives products of float32 matrices to MKL, which on processors other than Intel's leaves out the widest vectors
(docs/backends.md has the figures). The operator is the one that torch.compile puts in (torch/_inductor/fx_passes/
mkldnn_fusion.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from hfspec.errors import UsageError

if TYPE_CHECKING:
    from hfspec.runtime.family import Place


class Linear(torch.nn.Linear):  # type: ignore[misc]
    """The same layer with the same weights; where gradients are asked for, torch's own."""

    def forward(self, values: Any) -> Any:
        if torch.is_grad_enabled():
            return super().forward(values)
        return torch.ops.mkldnn._linear_pointwise(values, self.weight, self.bias, "none", [], "")  # noqa: SLF001


def put(loaded: Any, place: Place) -> Any:  # noqa: ARG001 - as backends are called
    """The model, its linear layers of float32 replaced in place; raises UsageError for a torch without oneDNN."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        raise UsageError(f"the backend onednn is not in this build of torch {torch.__version__}.")
    for module in loaded.modules():
        if type(module) is torch.nn.Linear and module.weight.dtype is torch.float32:
            module.__class__ = Linear
    return loaded
