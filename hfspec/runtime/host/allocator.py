"""The C library's handling of memory that a batch has freed.

glibc gives blocks of a few MiB back to the system as soon as they are free, and takes them anew for the next layer,
whose every page the system then clears: a tenth of the time of an encoder's large batches.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Any

# Parameters of mallopt (malloc.h), and bytes: glibc gives larger blocks back when they are free (before 2.35 it takes
# no more than the second number), and so it does with free memory at the heap's end beyond AT_THE_END.
MMAP_THRESHOLD, LARGEST = -3, (128 << 20, 32 << 20)
TRIM_THRESHOLD, AT_THE_END = -1, 256 << 20
# The environment's own: https://www.gnu.org/software/libc/manual/html_node/Malloc-Tunable-Parameters.html
SET_OUTSIDE = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_")
TUNABLES = "GLIBC_TUNABLES"


@cache
def keep_freed_memory() -> bool:
    """Keep freed memory for the next batch from now on: blocks up to LARGEST, and AT_THE_END of the heap. Returns
    whether glibc does: not where another C library runs, nor where the environment has set how memory is kept.
    """
    if any(name in os.environ for name in SET_OUTSIDE) or "glibc.malloc" in os.environ.get(TUNABLES, ""):
        return False
    mallopt = _function("mallopt")
    # In this order: the second alone would end glibc's own adapting, with a threshold of 128 KiB.
    accepts = mallopt is not None and any(mallopt(MMAP_THRESHOLD, size) == 1 for size in LARGEST)
    return accepts and mallopt(TRIM_THRESHOLD, AT_THE_END) == 1


def give_back() -> None:
    """Give the kept memory back to the system."""
    malloc_trim = _function("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _function(name: str) -> Any:
    """A function of the C library; None where it has no such function: musl, macOS, Windows."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
