"""torch's layers computed by oneDNN, with the same weights."""

from __future__ import annotations

from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from hfspec.runtime.scheduling import memory

# Calls of a layer after which its weights are put in oneDNN's own order; a process that answers once saves the time.
CALLS = 2


class _Layer:
    """The base of oneDNN's layers. ``calls``: how many remain before the weights are put in oneDNN's own order, None
    for never. ``ordered``: the weights that were, their version then, and the same weights in that order.

    A product depends neither on the order nor on the rest of the batch: oneDNN computes a single row with weights in
    torch's order in another way, so such a row goes in twice.
    """

    calls: int | None = None
    ordered: tuple[Any, int, Any] | None = None
    weight: Any
    bias: Any

    def stored(self) -> Any:
        """The weights as (outputs, inputs)."""
        raise NotImplementedError

    def by_onednn(self, values: Any) -> Any:
        """The layer's answer; None where torch has to give it: with gradients, without rows, or without memory."""
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
        """The weights in oneDNN's order; None where they are not in it, or have changed since. torch counts no changes
        of weights that were made in inference mode. Calls at once may put them in order at once, with one result.
        """
        if self.weight.is_inference():
            return None
        entry, calls = self.ordered, self.calls
        if entry is not None:
            weight, version, order = entry
            if weight is self.weight and version == weight._version:  # noqa: SLF001 - torch's own count of changes
                return order
            self.ordered, calls = None, CALLS
        if calls is not None:
            self.calls = calls - 1 if calls else None
            if not calls:
                weight, version = self.weight, self.weight._version  # noqa: SLF001
                order = torch.ops.mkldnn._reorder_linear_weight(self.stored().detach())  # noqa: SLF001
                self.ordered = (weight, version, order)
        return None

    def __getstate__(self) -> dict[str, Any]:
        """The state without ``ordered``: a copy has weights of its own to put in order."""
        return {name: value for name, value in self.__dict__.items() if name != "ordered"}


class Linear(_Layer, torch.nn.Linear):  # type: ignore[misc]
    """The linear layer of torch with the same weights; with gradients, torch computes it."""

    def forward(self, values: Any) -> Any:
        answer = self.by_onednn(values)
        return super().forward(values) if answer is None else answer

    def stored(self) -> Any:
        return self.weight


class TransposedLinear(_Layer, Conv1D):  # type: ignore[misc]
    """The linear layer of GPT-2 and its kin, whose weights are (in, out)."""

    def forward(self, values: Any) -> Any:
        answer = self.by_onednn(values)
        return super().forward(values) if answer is None else answer

    def stored(self) -> Any:
        return self.weight.t()


class Convolution(_Layer, torch.nn.Conv1d):  # type: ignore[misc]
    """The convolution over time, (rows, channels, times), as products with all that a step sees. Its answer lies in
    memory channel by channel, as the next one takes it.
    """

    def forward(self, values: Any) -> Any:
        answer = self.by_onednn(self._seen(values)) if values.ndim == 3 else None
        return super().forward(values) if answer is None else answer.transpose(1, 2)

    def _seen(self, values: Any) -> Any:
        """(rows, steps, values that a step sees): a view of the values with the channels last."""
        lines = values.transpose(1, 2).contiguous()
        rows, times, channels = lines.shape
        (size,), (stride,) = self.kernel_size, self.stride
        steps = max(0, (times - size) // stride + 1)
        return lines.as_strided((rows, steps, size * channels), (times * channels, stride * channels, 1))

    def stored(self) -> Any:
        return self.weight.permute(0, 2, 1).flatten(1)


LAYERS = {torch.nn.Linear: Linear, Conv1D: TransposedLinear, torch.nn.Conv1d: Convolution}


def _product(values: Any, weight: Any, bias: Any) -> Any:
    return torch.ops.mkldnn._linear_pointwise(values, weight, bias, "none", [], "")  # noqa: SLF001
