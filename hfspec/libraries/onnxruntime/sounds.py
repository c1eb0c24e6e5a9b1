"""Sounds as the samples that a model reads, by numpy, number for number as transformers' extractor of waves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SAMPLES = "input_values"
SMALL = 1e-7  # added to the variance, as transformers adds it


@dataclass(frozen=True, slots=True)
class SoundSteps:
    """The steps of a feature extractor that hands on samples. ``normalises``: whether to mean 0 and variance 1."""

    sampling_rate: int
    normalises: bool

    def __call__(self, samples: Any, **_: Any) -> dict[str, Any]:
        """(1, samples) of float32 from one channel of samples."""
        import numpy as np

        made = np.asarray(samples, dtype=np.float32)
        if self.normalises:
            made = (made - made.mean()) / np.sqrt(made.var() + SMALL)
        return {SAMPLES: made.astype(np.float32)[None]}
