"""The generator that a call draws its random numbers from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Lock

from hfspec.settings.generation import samples
from hfspec.settings.precedence import Settings

_DRAWING = Lock()


@contextmanager
def seeded(seed: int | None, device: str, *, draws: bool) -> Iterator[None]:
    """Sampling from this seed, after which torch's global generator is as before; with None, from the global generator.
    Such calls run one at a time, since torch's generator is one for all threads. ``draws``: whether a call without a
    seed samples.
    """
    if seed is None:
        with _DRAWING if draws else nullcontext():
            yield
        return
    import torch

    devices = [] if device == "cpu" else [torch.device(device).index or 0]
    with _DRAWING, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@contextmanager
def drawing(settings: Settings, device: str, *, own: bool) -> Iterator[None]:
    """The context of generate(). ``own``: the rows draw from generators of their own where they have a seed, so that
    no call has to wait; without seeds they draw from torch's, but not while another call has seeded that.
    """
    seed = settings.get("seed") if samples(settings) else None
    with seeded(None if own else seed, device, draws=samples(settings) and seed is None):
        yield
