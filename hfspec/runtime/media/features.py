"""The features of one row, by a feature extractor or an image processor, and rows of one shape as a batch.

Rows are prepared one by one and never padded to each other's length: a model that normalises over time, as the base
wav2vec2 models do, would answer differently for a padded row.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from hfspec.errors import InputError
from hfspec.runtime.io.transfer import sent
from hfspec.runtime.patches import masks
from hfspec.runtime.patches.masks import MASK

Features = Mapping[str, Any]
SPECTROGRAM_WINDOW, SPECTROGRAM_STEP = 25, 10  # milliseconds, those of Kaldi's filter banks


class SoundFeatures:
    """The feature extractor of an audio model. ``rate``: samples per second that the model takes."""

    def __init__(self, extractor: Any, model: Any) -> None:
        self.extractor = extractor
        self.rate = int(self.extractor.sampling_rate)
        self.least = least_samples(model.config)

    def __call__(self, samples: Any, row: int, **options: Any) -> dict[str, Any]:
        """Tensors of one row, (1, …); raises InputError naming the row when there are too few samples."""
        if len(samples) < self.least:
            raise InputError(
                f"the audio is too short: {len(samples)} samples at {self.rate} Hz, and the model needs {self.least}.",
                row=row,
            )
        try:
            features = self.extractor(samples, sampling_rate=self.rate, return_tensors="pt", **options)
        except (ValueError, IndexError, RuntimeError) as error:
            raise InputError(f"the feature extractor refuses the audio: {error}", row=row) from error
        if MASK in features:
            masks.mark(features[MASK], is_whole=bool(features[MASK].all()))
        return dict(features)

    def cuts(self, samples: int) -> bool:
        """Whether the extractor drops the end of so many samples: some read windows of one length only."""
        whole = getattr(self.extractor, "n_samples", None)
        if isinstance(whole, int):
            return samples > whole
        if type(self.extractor).__name__ != "ASTFeatureExtractor":
            return False
        frames = 1 + (samples - SPECTROGRAM_WINDOW * self.rate // 1000) // (SPECTROGRAM_STEP * self.rate // 1000)
        return frames > int(self.extractor.max_length)


def least_samples(config: Any) -> int:
    """How few samples still give one frame, by the convolutions that the config lists; 1 where it lists none."""
    kernels, strides = getattr(config, "conv_kernel", None), getattr(config, "conv_stride", None)
    needed = 1
    if isinstance(kernels, list | tuple) and isinstance(strides, list | tuple):
        for kernel, stride in reversed(list(zip(kernels, strides, strict=True))):
            needed = (needed - 1) * stride + kernel
    return needed


def shape_of(features: Features) -> Hashable:
    """The shape that rows must share to share a batch."""
    return tuple((name, tuple(tensor.shape[1:])) for name, tensor in sorted(features.items()))


def stacked(rows: Sequence[Features], model: Any, device: str) -> dict[str, Any]:
    """The rows' tensors as one batch, floats in the model's dtype."""
    import torch

    batch = {name: sent(torch.cat([row[name] for row in rows]), device) for name in rows[0]}
    if MASK in batch:
        masks.mark(batch[MASK], is_whole=all(masks.is_whole(row[MASK]) for row in rows))
    return {name: tensor.to(model.dtype) if tensor.is_floating_point() else tensor for name, tensor in batch.items()}
