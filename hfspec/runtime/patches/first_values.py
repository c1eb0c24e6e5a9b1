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

GAINED = "sympy"  # which torch imports to compute first values on its meta device
DTYPES = ("float32", "float16", "bfloat16", "int64", "bool")


def left_out(asked: str) -> State:
    """On where a model may be made without them; nothing is gained where what they need is imported already."""
    from hfspec.library_calls.making import Unfilled

    hindered = hindrance(asked, FIRST_VALUES)
    if hindered is not None:
        return hindered
    if GAINED in sys.modules:
        return State(on=False, why=f"Nothing is gained: {GAINED} is imported already.")
    return tried(FIRST_VALUES, "float32", partial(_shapes, "cpu", nullcontext), partial(_shapes, "meta", Unfilled))


def _shapes(device: str, mode: Callable[[], AbstractContextManager[Any]]) -> list[Any]:
    """Sizes, and the number of the dtype, of what small layers hold, made on a device in a mode."""
    import torch

    with torch.device(device), mode():
        layers = [torch.nn.Linear(3, 2), torch.nn.Embedding(4, 3), torch.nn.Conv1d(2, 3, 2), torch.nn.LayerNorm(3)]
        where = torch.device(device)
        more = [
            torch.arange(5, device=where),
            torch.arange(0, 6, 2, dtype=torch.int64, device=where),
            torch.empty(2, 3),
        ]
        tensors = [*(held for layer in layers for held in layer.parameters()), *more]
        tensors.append(torch.empty_like(tensors[0], device=device))
        known = [getattr(torch, name) for name in DTYPES]
        if any(str(held.device) != device for held in tensors):
            raise RuntimeError("a tensor is made on another device")
        facts = [[*held.shape, held.requires_grad, known.index(held.dtype)] for held in tensors]
    return [torch.tensor(list(map(float, fact))) for fact in facts]
