"""Whether a CPU computes in 16 bits as fast as in float32: only those with instructions for it do."""

from __future__ import annotations

import functools
import logging
import time

from hfspec.ir.dtypes import torch_dtype
from hfspec.runtime.loading.request import LoadRequest

LOG = logging.getLogger("hfspec")
HALVES = ("float16", "bfloat16")
ROWS, WIDTH = 128, 768  # of the products that are timed: a short batch and a layer of a base model
TIMES = 5
NOTICEABLE = 1.25


def slow_note(request: LoadRequest) -> str:
    """A sentence for a model whose products took longer than float32's on this CPU; empty for all others."""
    if request.dtype not in HALVES or request.device != "cpu" or request.device_map is not None:
        return ""
    ratio = times_float32(request.dtype)
    if ratio < NOTICEABLE:
        return ""
    return (
        f"Products in {request.dtype} take {ratio:.1f} times as long as in float32 on this processor; load with"
        " dtype='float32' for twice the memory and that much less time."
    )


def warn(request: LoadRequest) -> None:
    """Log that sentence."""
    note = slow_note(request)
    if note:
        LOG.warning("%s", note)


@functools.cache
def times_float32(dtype: str) -> float:
    """How many times as long a matrix product takes in a dtype as in float32: the quickest of several, in turn."""
    import torch

    names = (dtype, "float32")
    factors = {
        name: [torch.ones(size).to(torch_dtype(name)) for size in ((ROWS, WIDTH), (WIDTH, WIDTH))] for name in names
    }
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with torch.inference_mode():
        for _ in range(TIMES):
            for name in names:
                start = time.perf_counter()
                torch.nn.functional.linear(*factors[name])
                seconds[name].append(time.perf_counter() - start)
    return min(seconds[dtype]) / min(seconds["float32"])
