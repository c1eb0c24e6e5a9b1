"""Images as the pixels that a model reads, by pillow and numpy, number for number as transformers' PIL backend."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PIXELS = "pixel_values"
SHORTEST, HEIGHT, WIDTH = "shortest_edge", "height", "width"


@dataclass(frozen=True, slots=True)
class ImageSteps:
    """The steps of an image processor, in their order; a step that is empty or None is left out."""

    size: Mapping[str, int]
    """To resize to: a height and a width, or a shortest edge, which keeps the proportions."""
    resample: int
    """Pillow's number of the filter."""
    crop: Sequence[int]
    """Height and width around the centre, zeros beyond the image."""
    scale: float | None
    """The factor of each pixel; ``shift`` is added to the product."""
    shift: float
    normalising: Sequence[Mapping[str, Sequence[float]]]
    """``mean`` and ``std`` of each channel, of one or more normalisations."""
    flips: bool
    """Whether the channels are turned to blue, green, red."""
    do_resize: bool = True

    def __call__(self, images: Any, **_: Any) -> dict[str, Any]:
        """(1, 3, height, width) of float32 from an image in RGB. Raises ValueError where pillow cannot resize it."""
        import numpy as np

        if self.size:
            height, width = self._resized(images.size)
            images = images.resize((width, height), resample=self.resample)
        pixels = np.moveaxis(np.asarray(images), -1, 0)
        if self.crop:
            pixels = _cropped(pixels, self.crop[0], self.crop[1])
        return {PIXELS: self._scaled(pixels)[None]}

    def _resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width, of a width and a height."""
        width, height = size
        if SHORTEST not in self.size:
            return self.size[HEIGHT], self.size[WIDTH]
        short = self.size[SHORTEST]
        long = int(short * max(size) / min(size))
        return (long, short) if width <= height else (short, long)

    def _scaled(self, pixels: Any) -> Any:
        """In float64 for the scale alone, as transformers computes."""
        import numpy as np

        if self.scale is not None:
            pixels = (pixels.astype(np.float64) * self.scale).astype(np.float32)
        pixels = pixels.astype(np.float32)
        if self.shift:
            pixels += np.float32(self.shift)
        for step in self.normalising:
            mean, std = (np.array(step[name], dtype=np.float32)[:, None, None] for name in ("mean", "std"))
            pixels = (pixels - mean) / std
        return np.ascontiguousarray(pixels[::-1] if self.flips else pixels)


def _cropped(pixels: Any, height: int, width: int) -> Any:
    """The middle of (channels, height, width), as transformers' center_crop rounds it."""
    import numpy as np

    own_height, own_width = pixels.shape[1:]
    top, left = (own_height - height) // 2, (own_width - width) // 2
    if top < 0 or left < 0:
        wide = (max(height, own_height), max(width, own_width))
        above, before = math.ceil((wide[0] - own_height) / 2), math.ceil((wide[1] - own_width) / 2)
        padded = np.zeros((pixels.shape[0], *wide), dtype=pixels.dtype)
        padded[:, above : above + own_height, before : before + own_width] = pixels
        pixels, top, left = padded, top + above, left + before
    return pixels[:, max(0, top) : top + height, max(0, left) : left + width]
