"""Vectors of tokens as one of a sentence, in numpy: for graphs that were made elsewhere and end before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def pooled(vectors: Any, mask: Any, modes: Sequence[str], *, normalize: bool) -> Any:
    """(rows, tokens, size) with their mask, padded on the right, as (rows, size of all modes), as
    hfspec/runtime/sentences/sentence_layers.py computes it by torch.
    """
    import numpy as np

    rows = np.concatenate([_pooled(vectors.astype(np.float32), mask, mode) for mode in modes], axis=-1)
    if not normalize:
        return rows
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.maximum(lengths, 1e-12)


def _pooled(vectors: Any, mask: Any, mode: str) -> Any:
    import numpy as np

    rows, wide = np.arange(len(vectors)), mask[..., None]
    if mode == "cls":
        return vectors[rows, mask.argmax(axis=1)]
    if mode == "lasttoken":
        last = np.where(mask.any(axis=1), mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1), 0)
        return vectors[rows, last] * mask[rows, last][:, None]
    if mode == "max":
        return np.where(wide == 0, -np.inf, vectors).max(axis=1)
    weights = np.arange(1, mask.shape[1] + 1) * mask if mode == "weightedmean" else mask
    count = np.maximum(weights.sum(axis=1, dtype=np.float32)[:, None], 1e-9)
    total = (vectors * weights[..., None].astype(np.float32)).sum(axis=1)
    return total / (np.sqrt(count) if mode == "mean_sqrt_len_tokens" else count)
