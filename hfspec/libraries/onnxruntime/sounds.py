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

        wave = np.asarray(samples, dtype=np.float32)
        if self.normalises:
            wave = (wave - wave.mean()) / np.sqrt(wave.var() + SMALL)
        return {SAMPLES: wave.astype(np.float32)[None]}
