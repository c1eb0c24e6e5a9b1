"""Pictures for the tests, and files of them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def picture(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """Seeded noise on a slope, RGB; ``size`` is (width, height)."""
    width, height = size
    slope = np.linspace(0, 160, width)[None, :, None] * np.ones((height, 1, 3))
    noise = np.random.default_rng(seed).integers(0, 90, (height, width, 3))
    return Image.fromarray((slope + noise).astype(np.uint8))


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The image as a file of PIL's format ``kind``."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
