"""The trial of layers that are made without first values."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from hfspec.runtime.patches.states import State, hindrance
from hfspec.runtime.patches.table import FIRST_VALUES
from hfspec.runtime.patches.trial import tried

GAINED = "sympy"  # torch imports it to compute first values on its meta device
DTYPES = ("float32", "float16", "bfloat16", "int64", "bool")


def left_out(choice: str) -> State:
    """The patch's state: on where a model may be made without first values, and sympy is not imported yet."""
    from hfspec.library_calls.making import Unfilled

    hindered = hindrance(choice, FIRST_VALUES)
    if hindered is not None:
        return hindered
    if GAINED in sys.modules:
        return State(on=False, why=f"Nothing is gained: {GAINED} is imported already.")
    return tried(FIRST_VALUES, "float32", partial(_shapes, "cpu", nullcontext), partial(_shapes, "meta", Unfilled))


def _shapes(device: str, mode: Callable[[], AbstractContextManager[Any]]) -> list[Any]:
    """The sizes, and the number of the dtype, of the tensors of small layers that were made on a device in a mode."""
    import torch

    with torch.device(device), mode():
        layers = [torch.nn.Linear(3, 2), torch.nn.Embedding(4, 3), torch.nn.Conv1d(2, 3, 2), torch.nn.LayerNorm(3)]
        where = torch.device(device)
        more = [
            torch.arange(5, device=where),
            torch.arange(0, 6, 2, dtype=torch.int64, device=where),
            torch.empty(2, 3),
        ]
        tensors = [*(tensor for layer in layers for tensor in layer.parameters()), *more]
        tensors.append(torch.empty_like(tensors[0], device=device))
        dtypes = [getattr(torch, name) for name in DTYPES]
        if any(str(tensor.device) != device for tensor in tensors):
            raise RuntimeError("a tensor is made on another device")
        facts = [[*tensor.shape, tensor.requires_grad, dtypes.index(tensor.dtype)] for tensor in tensors]
    return [torch.tensor(list(map(float, fact))) for fact in facts]
