"""Tokens of several rows as the tensors of one batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hfspec.runtime.io.transfer import sent
from hfspec.runtime.patches import masks
from hfspec.runtime.patches.masks import MASK


def pad_id(model: Any, tokenizer: Any) -> int:
    """The token that fills a batch: the model's own, since some models tell padding by it, then the tokenizer's."""
    for owner in (model.config, tokenizer):
        token = getattr(owner, "pad_token_id", None)
        if isinstance(token, int) and token >= 0:
            return token
    return 0


def padded(rows: Sequence[Mapping[str, list[int]]], pad: Mapping[str, int], side: str, device: str) -> dict[str, Any]:
    """Token lists as tensors (rows, longest row), filled up on one side; a name without a pad value gets zeros."""
    import torch

    result = {name: sent(torch.tensor(_lines(rows, name, pad, side), dtype=torch.long), device) for name in rows[0]}
    if MASK in result:
        width = _width(rows)
        masks.mark(result[MASK], is_whole=all(len(row[MASK]) == width and 0 not in row[MASK] for row in rows))
    return result


def filled(
    rows: Sequence[Mapping[str, list[int]]], pad: Mapping[str, int], side: str, names: Iterable[str]
) -> dict[str, Any]:
    """The token lists of these ``names`` as numpy arrays, filled up as ``padded`` does."""
    import numpy as np

    return {name: np.array(_lines(rows, name, pad, side), dtype=np.int64) for name in names}


def _lines(rows: Sequence[Mapping[str, list[int]]], name: str, pad: Mapping[str, int], side: str) -> list[list[int]]:
    width, fill = _width(rows), pad.get(name, 0)
    gaps = [[fill] * (width - len(row[name])) for row in rows]
    pairs = list(zip(gaps, (row[name] for row in rows), strict=True))
    return [gap + line for gap, line in pairs] if side == "left" else [line + gap for gap, line in pairs]


def _width(rows: Sequence[Mapping[str, list[int]]]) -> int:
    return max(len(row["input_ids"]) for row in rows)
