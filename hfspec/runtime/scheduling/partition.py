"""Items of known length in batches: the cost of padding weighed against that of one more pass."""

from __future__ import annotations

from collections.abc import Sequence

# The cost, in tokens, of a pass over a batch on a CPU beside its tokens: each layer is called once more, and its
# weights are read once more.
PASS = 32


def partition(lengths: Sequence[int], most: int | None = None, cost: int | None = PASS) -> list[range]:
    """Places in ``lengths``, which are longest first, batch by batch: the cut with the fewest tokens, padding and
    ``cost`` for each batch counted; None: the cut with the fewest batches. No batch has more than ``most`` tokens, but
    an item that is longer has a batch of its own.
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
        costs = least[earliest:end] + (end - places[earliest:end]) * sizes[earliest:end]
        begins[end] = end - 1 - int(costs[::-1].argmin())  # among equals, the cut with fuller first batches
        least[end] = costs[begins[end] - earliest] + (whole + 1 if cost is None else cost)
    batches, end = [], count
    while end:
        batches.append(range(begins[end], end))
        end = begins[end]
    return batches[::-1]
