"""Whether memory has run out, as the libraries say it."""

from __future__ import annotations

import sys

# What torch's allocator for the CPU says, in a RuntimeError of no type of its own (c10/core/impl/alloc_cpu.cpp).
CPU_ALLOCATOR = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")


def is_exhausted(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory, on whichever device."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in CPU_ALLOCATOR)


def reason(error: BaseException) -> str:
    """The error's own words, in one line."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def release() -> None:
    """Give back what the device's allocator keeps for later, which may be in pieces too small to use."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
