"""Which items of known length share a batch: what padding takes, weighed against what one more pass takes."""

from __future__ import annotations

from collections.abc import Sequence

# What a pass over a batch takes on a CPU beside its tokens, in tokens: each layer is called once more, and its weights
# are read once more.
PASS = 32


def partition(lengths: Sequence[int], most: int | None = None, cost: int | None = PASS) -> list[range]:
    """Places in ``lengths``, which are longest first, batch by batch: of all ways to cut them, that whose tokens and
    ``cost`` for each batch are fewest, padding counted; None: whose batches are fewest. No batch has more than
    ``most`` tokens, but an item that is longer has a batch of its own.
    """
    import numpy as np

    sizes, count = np.maximum(np.asarray(lengths, np.int64), 1), len(lengths)
    whole = int(sizes.max(initial=1)) * count  # as one batch
    most = whole if most is None else min(most, whole)
    places, least, begins = np.arange(count), np.zeros(count + 1, np.int64), [0] * (count + 1)
    earliest = 0  # the first that may share a batch with the last
    for end in range(1, count + 1):
        while earliest < end - 1 and (end - earliest) * sizes[earliest] > most:
            earliest += 1
        taken = least[earliest:end] + (end - places[earliest:end]) * sizes[earliest:end]
        begins[end] = end - 1 - int(taken[::-1].argmin())  # of equals that whose first batches are fuller
        least[end] = taken[begins[end] - earliest] + (whole + 1 if cost is None else cost)
    batches, end = [], count
    while end:
        batches.append(range(begins[end], end))
        end = begins[end]
    return batches[::-1]
