"""Tokens of several rows as the tensors of one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hfspec.runtime.io.transfer import sent
from hfspec.runtime.patches import masks
from hfspec.runtime.patches.masks import MASK


def pad_id(loaded: Any, tokenizer: Any) -> int:
    """The token that fills a batch: the model's own, since some models tell padding by it, then the tokenizer's."""
    for owner in (loaded.config, tokenizer):
        found = getattr(owner, "pad_token_id", None)
        if isinstance(found, int) and found >= 0:
            return found
    return 0


def padded(rows: Sequence[Mapping[str, list[int]]], pad: Mapping[str, int], side: str, device: str) -> dict[str, Any]:
    """Token lists as tensors (rows, longest row), filled up on one side; a name without a pad value gets zeros."""
    import torch

    width = max(len(row["input_ids"]) for row in rows)
    result = {}
    for name in rows[0]:
        fill = pad.get(name, 0)
        lines = [row[name] for row in rows]
        full = [
            [fill] * (width - len(line)) + line if side == "left" else line + [fill] * (width - len(line))
            for line in lines
        ]
        result[name] = sent(torch.tensor(full, dtype=torch.long), device)
    if MASK in result:
        masks.mark(result[MASK], is_whole=all(len(row[MASK]) == width and 0 not in row[MASK] for row in rows))
    return result
