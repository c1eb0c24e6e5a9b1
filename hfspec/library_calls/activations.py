"""The activation functions that a checkpoint may name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hfspec.errors import StorageError
from hfspec.formats.sentence_modules import is_torchs_own


def torch_activation(path: str) -> Callable[[Any], Any]:
    """The activation that a checkpoint names; raises StorageError when it is none of torch.nn's modules."""
    import torch

    name = path.rsplit(".", 1)[-1]
    found = getattr(torch.nn, name, None) if is_torchs_own(path) else None
    if not isinstance(found, type) or not issubclass(found, torch.nn.Module):
        raise StorageError(f"the checkpoint names the activation function {path}, and torch.nn has no {name}.")
    made: Callable[[Any], Any] = found()
    return made
