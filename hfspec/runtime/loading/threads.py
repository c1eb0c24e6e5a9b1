"""The threads on which torch computes, in this whole process."""

from __future__ import annotations

import os

from hfspec.errors import UsageError

_LOADED_IN: set[int] = set()  # processes, by their numbers: this one, and those that it was forked from


def set_threads(threads: int | None) -> None:
    """Let torch use so many threads, in this whole process."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def forget_threads(threads: int | None) -> None:
    """Let torch compute on one thread in a process forked from one that has loaded a model: OpenMP's threads do not
    live on in it, and a pass over several would wait for them for good. Raises UsageError for more threads.
    """
    if _LOADED_IN - {os.getpid()}:
        if threads is not None and threads > 1:
            raise UsageError(
                f"{threads} threads cannot be had in a process that was forked from one that has loaded a model, since"
                " torch's threads do not live on in it: leave threads out, or start the worker with the start method"
                " 'spawn'."
            )
        import torch

        torch.set_num_threads(1)
    _LOADED_IN.add(os.getpid())
