"""Tensors between the host and a GPU, neither of which waits for the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfspec.runtime.io import finite


def sent(tensor: Any, device: str) -> Any:
    """The tensor on the device; to a GPU from pinned memory, so that the host goes on during the copy."""
    return _pinned(tensor).to(device, non_blocking=True) if device.startswith("cuda") else tensor.to(device)


def _pinned(tensor: Any) -> Any:
    """The tensor in pinned memory, or as it is where there is no more: its copy makes the host wait."""
    try:
        return tensor.pin_memory()
    except RuntimeError:
        return tensor


class Arriving:
    """A tensor on its way to the host. A GPU copies it into pinned memory when it has computed it, while the host goes
    on; any other device has computed it already, and a tensor of the host is the tensor itself. ``lengths``,
    ``masked``: of its lines, an item each, for ``finite.check``.
    """

    def __init__(self, tensor: Any, lengths: Sequence[int] | None = None, *, masked: bool = False) -> None:
        import torch

        self._lengths, self._masked = lengths, masked
        self._copied: Any = None
        if tensor.device.type != "cuda":
            self._there = tensor.cpu()
            return
        self._there = _pinned(torch.empty(tensor.shape, dtype=tensor.dtype))
        self._there.copy_(tensor, non_blocking=True)
        self._copied = torch.cuda.Event()
        self._copied.record(torch.cuda.current_stream(tensor.device))

    def here(self) -> Any:
        """The tensor on the host, once it is there, without a wait for later launches. It is not in pinned memory,
        which is for batches in flight alone. Raises NotFiniteError.
        """
        tensor = self._there
        if self._copied is not None:
            self._copied.synchronize()
            tensor = tensor.clone()
        finite.check(tensor, self._lengths, masked=self._masked)
        return tensor
