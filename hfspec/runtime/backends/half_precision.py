"""Whether a CPU computes in 16 bits as fast as in float32: only those with instructions for it do."""

from __future__ import annotations

import functools
import logging
import time
from typing import Any

from hfspec.ir.backends import AUTO
from hfspec.ir.dtypes import HALVES, torch_dtype
from hfspec.runtime.loading.request import LoadRequest

LOG = logging.getLogger("hfspec")
ROWS, WIDTH = 128, 768  # of the products that are timed: a short batch and a layer of a base model
TIMES = 5
NOTICEABLE = 1.25


def quickest(dtype: str, device: str, device_map: Any) -> str:
    """The dtype that ``compute_dtype: auto`` computes in: float32 where ``dtype`` is slower on this CPU, else that."""
    return "float32" if _times_longer(dtype, device, device_map) else dtype


def dtype_note(request: LoadRequest) -> str:
    """A sentence for a model of 16 bits whose products take longer than float32's on this CPU: how much, and what is
    done or can be done about it. Empty for all others, and where the spec asks for just this dtype.
    """
    deployment = request.manifest.deployment
    stated = deployment.runtime.get("compute_dtype")
    stored = deployment.dtype if stated == AUTO and request.dtype == "float32" else request.dtype
    ratio = _times_longer(stored, request.device, request.device_map)
    if not ratio or stated == stored:
        return ""
    slow = f"Products in {stored} take {ratio:.1f} times as long as in float32 on this processor"
    if stored != request.dtype:
        return f"{slow}: the trial run computed in float32, as `compute_dtype: {AUTO}` does where that is so."
    return (
        f"{slow}; load with dtype='float32', or write `compute_dtype: {AUTO}` under `runtime` in the spec, for twice"
        " the memory and that much less time."
    )


def warn(request: LoadRequest) -> None:
    """Log that sentence where the load computes in the slower dtype."""
    note = dtype_note(request)
    if note and request.dtype in HALVES:
        LOG.warning("%s", note)


def _times_longer(dtype: str, device: str, device_map: Any) -> float:
    """How many times as long products of 16 bits take as float32's on this CPU; 0 where that is not noticeable, and for
    other dtypes and devices.
    """
    if dtype not in HALVES or device != "cpu" or device_map is not None:
        return 0.0
    ratio = times_float32(dtype)
    return ratio if ratio >= NOTICEABLE else 0.0


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
