"""How far the numbers that two models compute of the same batches lie apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hfspec.runtime.patches.masks import MASK

# By what a graph computes, as COMPUTES in torch_modules.py names it.
PER_TOKEN = frozenset({"spans", "states", "token logits"})
CHOOSING = frozenset({"image logits", "logits", "sound logits", "spans", "token logits"})
POINTING = frozenset({"sentence vectors", "sparse weights"})


@dataclass(slots=True)
class Distance:
    """The distance of two graphs so far. ``computes``: the kind of their outputs; ``largest``: the largest difference
    of two numbers, over the largest number of their row where that is above 1; ``choices``: how often the largest
    number of a line decides, ``same``: how often it decides alike; ``cosine``: the least of two vectors.
    """

    computes: str
    largest: float = 0.0
    choices: int = 0
    same: int = 0
    cosine: float = 1.0

    @property
    def difference(self) -> float:
        """``largest`` in two digits."""
        return float(f"{self.largest:.1e}")

    def to_json(self) -> dict[str, Any]:
        """The difference, and what it means for answers of this kind."""
        measures: dict[str, Any] = {"difference": self.difference}
        if self.choices:
            measures["same_answers"] = round(self.same / self.choices, 4)
        if self.computes in POINTING:
            measures["least_cosine"] = round(self.cosine, 4)
        return measures

    def add(self, inputs: Mapping[str, Any], wanted: Sequence[Any], found: Sequence[Any]) -> None:
        """Count what the two have computed of a batch, without its padding."""
        for one, other in zip(wanted, found, strict=True):
            if one.shape != other.shape:
                self.largest = float("inf")
                continue
            lengths = _lengths(inputs) if self.computes in PER_TOKEN else [None] * len(one)
            for place, length in enumerate(lengths):
                line = np.s_[place] if length is None else np.s_[place, :length]
                self._add(one[line], other[line])

    def _add(self, one: Any, other: Any) -> None:
        counted = np.isfinite(one)
        if not np.array_equal(counted, np.isfinite(other)):
            self.largest = float("inf")
            return
        scale = max(1.0, float(np.abs(one[counted]).max(initial=0)))
        self.largest = max(self.largest, float(np.abs(one[counted] - other[counted]).max(initial=0)) / scale)
        if self.computes in CHOOSING and one.shape[-1] > 1:
            same = one.argmax(-1) == other.argmax(-1)
            self.choices, self.same = self.choices + same.size, self.same + int(same.sum())
        lengths = float(np.linalg.norm(one) * np.linalg.norm(other)) if self.computes in POINTING else 0.0
        if lengths:
            self.cosine = min(self.cosine, float((one * other).sum()) / lengths)


def _lengths(inputs: Mapping[str, Any]) -> list[int | None]:
    """The lengths of rows of tokens, without their padding."""
    ids = inputs["input_ids"]
    return [int(line.sum()) for line in inputs[MASK]] if MASK in inputs else [ids.shape[1]] * len(ids)
