"""An image as a model's processor takes it: upright, in RGB.

Arrays are (height, width), (height, width, channels) or (channels, height, width) with 1, 3 or 4 channels, of uint8, or
of floats between 0 and 1.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Any

from hfspec.errors import InputError, UsageError
from hfspec.runtime.media import media
from hfspec.runtime.settings import Settings

CHANNELS = (1, 3, 4)


def image(value: Any, row: int, settings: Settings) -> Any:
    """The PIL image, in mode RGB, that ``value`` stands for; raises InputError naming the row when there is none."""
    pillow = _library()
    value = media.unwrapped(value, row)
    if isinstance(value, pillow.Image):
        return _upright(value, row)
    if isinstance(value, Mapping):
        value = value["array"] if value.get("array") is not None else value.get("raw")
    if hasattr(value, "__array__"):
        return pillow.fromarray(_pixels(value, row)).convert("RGB")
    content = media.content(value, row, settings, "image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            with pillow.open(io.BytesIO(content)) as opened:
                return _upright(opened, row)
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombWarning, pillow.DecompressionBombError) as error:
        raise InputError(f"the image cannot be decoded: {_reason(error)}.", row=row) from error


def _upright(opened: Any, row: int) -> Any:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"the image cannot be decoded: {_reason(error)}.", row=row) from error


def _reason(error: Exception) -> str:
    """PIL names the buffer it read from, which tells nobody anything."""
    text = str(error).partition("<_io")[0].strip()
    return text.rstrip(" .") or type(error).__name__


def _pixels(value: Any, row: int) -> Any:
    """(height, width) or (height, width, 3 or 4) of uint8."""
    import numpy as np

    array = np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
    if array.ndim == 3 and array.shape[2] not in CHANNELS and array.shape[0] in CHANNELS:
        array = array.transpose(1, 2, 0)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in CHANNELS) or 0 in array.shape:
        raise InputError(
            f"an array of shape {tuple(array.shape)} is not an image; give (height, width), (height, width, channels)"
            " or (channels, height, width), with 1, 3 or 4 channels.",
            row=row,
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return _bytes(array, row)


def _bytes(array: Any, row: int) -> Any:
    import numpy as np

    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind == "f" and np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1:
        return np.ascontiguousarray((array * 255).round().astype(np.uint8))
    raise InputError(f"an image array must be of uint8, or of floats from 0 to 1; this one is {array.dtype}.", row=row)


def _library() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError("reading images needs the package pillow; pip install 'hfspec[vision]'.") from error
    return Image
