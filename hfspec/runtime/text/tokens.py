"""Texts to tokens, once for a whole window of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfspec.errors import InputError
from hfspec.inputs.row import Row

Tokens = dict[str, list[int]]
OR_CUT = "or set truncation: true to have it cut"  # the remedy for a text that is too long


def encode(tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None = None, **options: Any) -> list[Tokens]:
    """The tokens of each text (or pair), unpadded: name of a model input -> ids."""
    if not texts:
        return []
    encoded = tokenizer(list(texts), None if pairs is None else list(pairs), padding=False, verbose=False, **options)
    return [{name: list(encoded[name][place]) for name in encoded} for place in range(len(texts))]


def refuse_overlong(rows: Sequence[Row], tokens: Sequence[Tokens], limit: int) -> None:
    """Raises InputError for the first row that has more tokens than the model can read."""
    for row, mine in zip(rows, tokens, strict=True):
        length = len(mine["input_ids"])
        if length > limit:
            raise InputError(
                f"the text has {length} tokens and the model reads at most {limit}; shorten it, {OR_CUT}.",
                row=row.number,
            )
