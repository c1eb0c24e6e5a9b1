"""The trial of a patch against the library's own way, at every load."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from hfspec.ir.dtypes import arithmetic_of
from hfspec.runtime.patches.states import State

LOG = logging.getLogger("hfspec")


def tried(name: str, dtype: str, library: Callable[[], Sequence[Any]], patched: Callable[[], Sequence[Any]]) -> State:
    """The patch's state: on where it computes the same as the library, within the tolerance of the dtype, relative to
    the largest value; else off, as where either raises, with a line in the log.

    ``library``, ``patched``: the same tensors, computed without the patch and with it.
    """
    import torch

    try:
        with torch.no_grad():
            expected, answers = library(), patched()
        difference = max(map(_difference, expected, answers), default=0.0)
    except Exception as error:  # noqa: BLE001 - a library that has changed may raise anything
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        return _failed(name, f"Its trial failed: {reason}.")
    why = f"Its trial differs from the library by {difference:.2g} of the largest value."
    if len(expected) != len(answers) or not difference <= arithmetic_of(dtype).tolerance:
        return _failed(name, why)
    return State(on=True, why=why)


def _failed(name: str, why: str) -> State:
    LOG.warning("the patch %s is off, and the library's own way is taken: %s", name, why)
    return State(on=False, why=why)


def _difference(expected: Any, answer: Any) -> float:
    """The largest difference, relative to the largest finite value; infinite for another shape, or other places that
    are not finite.
    """
    if expected.shape != answer.shape:
        return float("inf")
    expected, answer = expected.double(), answer.double()
    finite = expected.isfinite()
    if bool((finite != answer.isfinite()).any()):
        return float("inf")
    if not bool(finite.any()):
        return 0.0
    expected, answer = expected[finite], answer[finite]
    return float((expected - answer).abs().max() / expected.abs().max().clamp(min=1e-6))
