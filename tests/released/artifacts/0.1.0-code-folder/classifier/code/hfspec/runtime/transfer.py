"""Tensors between the host and a GPU, neither of which waits for the other."""

from __future__ import annotations

from typing import Any


def sent(made: Any, device: str) -> Any:
    """The tensor on the device; to a GPU from pinned memory, so that the next batch is made ready during the copy."""
    return _pinned(made).to(device, non_blocking=True) if device.startswith("cuda") else made.to(device)


def _pinned(made: Any) -> Any:
    """In pinned memory, or as it is where there is no more of that: such a copy is waited for."""
    try:
        return made.pin_memory()
    except RuntimeError:
        return made


class Arriving:
    """A tensor on its way to the host. A GPU copies it into pinned memory when it has made it, while the host goes on;
    any other device has made it already, and a tensor of the host is the tensor itself.
    """

    def __init__(self, made: Any) -> None:
        import torch

        self._copied: Any = None
        if made.device.type != "cuda":
            self._there = made.cpu()
            return
        self._there = _pinned(torch.empty(made.shape, dtype=made.dtype))
        self._there.copy_(made, non_blocking=True)
        self._copied = torch.cuda.Event()
        self._copied.record(torch.cuda.current_stream(made.device))

    def here(self) -> Any:
        """The tensor on the host, once it is there: what was launched after it is not waited for. It is not in pinned
        memory, of which batches in flight alone should hold some.
        """
        if self._copied is None:
            return self._there
        self._copied.synchronize()
        return self._there.clone()
