"""The activation functions that a checkpoint may name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hfspec.errors import StorageError
from hfspec.formats.sentence_modules import is_torchs_own


def torch_activation(path: str) -> Callable[[Any], Any]:
    """The activation of a checkpoint's name; raises StorageError for a name that torch.nn has no module of."""
    import torch

    name = path.rsplit(".", 1)[-1]
    module = getattr(torch.nn, name, None) if is_torchs_own(path) else None
    if not isinstance(module, type) or not issubclass(module, torch.nn.Module):
        raise StorageError(f"the checkpoint names the activation function {path}, and torch.nn has no {name}.")
    activation: Callable[[Any], Any] = module()
    return activation
