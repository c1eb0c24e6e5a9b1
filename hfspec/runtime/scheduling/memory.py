"""How many tokens suit a device's memory, and whether an error of a library says that it has run out."""

from __future__ import annotations

import sys

from hfspec.runtime.host.allocator import give_back

# The words of torch's allocator for the CPU, in a RuntimeError of no type of its own (c10/core/impl/alloc_cpu.cpp).
CPU_ALLOCATOR = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")
# The words of oneDNN without memory for an operation, in a RuntimeError too; and for an operation that it lacks.
ONEDNN = ("could not create a primitive", "could not create a memory object", "could not execute a primitive")
NOT_MADE = "primitive descriptor"
WORDS = (*CPU_ALLOCATOR, *ONEDNN)


# Tokens that a batch of a GPU may hold for each GiB of its memory, and at most.
TOKENS_PER_GIB, MOST_TOKENS = 1024, 16384
# On a CPU: bytes of a batch's hidden states, and tokens at least and at most (benchmarks/budgets.py, docs/running.md).
CACHED_BYTES, FEWEST_ON_CPU, MOST_ON_CPU = 3 << 19, 256, 1024


def tokens_on_cpu(width: int, size: int) -> int:
    """How many tokens a batch of a model that only reads holds: a layer's output for it should fit in a CPU's caches.
    ``width``: of the hidden states; ``size``: bytes of a number.
    """
    return min(MOST_ON_CPU, max(FEWEST_ON_CPU, CACHED_BYTES // (width * size)))


def batch_tokens(device: str, on_cpu: int) -> int:
    """How many tokens a batch holds by default: on a CPU ``on_cpu``, on a GPU as many as suit its memory."""
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda"):
        return on_cpu
    gib = torch.cuda.get_device_properties(device).total_memory / 2**30
    return max(on_cpu, min(MOST_TOKENS, int(gib * TOKENS_PER_GIB)))


def ahead(device: str) -> int:
    """How many batches may be launched before the one before them is read. That takes no memory of a GPU, which
    computes one batch after the other and gives its output to the host.
    """
    return 1 if device.startswith("cuda") else 0


def is_exhausted(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory, on whichever device."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    message = str(error)
    return isinstance(error, RuntimeError) and any(words in message for words in WORDS) and NOT_MADE not in message


def reason(error: BaseException) -> str:
    """The error's own words, in one line."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def release() -> None:
    """Give back what the allocators keep for later, which may be in pieces too small to use."""
    give_back()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
