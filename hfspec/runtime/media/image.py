"""An image for a model's processor: upright, in RGB of 8 bits, which pixels.py makes of deeper ones.

Arrays are (height, width), (height, width, channels) or (channels, height, width) with 1, 3 or 4 channels, of uint8 or
uint16, each with its whole range, or of floats between 0 and 1. A file with several frames or pages gives its first.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Mapping
from typing import Any

from hfspec.errors import InputError, UsageError
from hfspec.runtime.media import media, pixels
from hfspec.settings.precedence import Settings
from hfspec.tasks import media as task

CHANNELS = (1, 3, 4)
# The errors of PIL's decoders over damaged files, beside its own.
DECODING = (
    ArithmeticError,
    AssertionError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def image(value: Any, row: int, settings: Settings) -> Any:
    """The PIL image of ``value``, in mode RGB; raises InputError naming the row when there is none."""
    pillow = _library()
    value = media.unwrapped(value, row)
    if isinstance(value, pillow.Image):
        return _upright(value, row, settings)
    if isinstance(value, Mapping):
        value = value["array"] if value.get("array") is not None else value.get("raw")
    if hasattr(value, "__array__"):
        array = _pixels(value, row)
        refuse_size((array.shape[1], array.shape[0]), row, settings)
        return pillow.fromarray(array).convert("RGB")
    content = media.content(value, row, settings, "image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            with pillow.open(io.BytesIO(content)) as opened:
                return _upright(opened, row, settings)
    except (*DECODING, pillow.DecompressionBombWarning, pillow.DecompressionBombError) as error:
        raise _undecodable(error, row) from error


def refuse_size(size: tuple[int, int], row: int, settings: Settings, subject: str = "the image has") -> None:
    """Raises InputError naming the row for an image of more pixels than the deployment allows."""
    most = media.bound(settings, task.IMAGE_MAX_PIXELS)
    if size[0] * size[1] > most:
        raise InputError(
            f"{subject} {size[0]} x {size[1]} pixels, more than the {most:.0f} allowed; give a smaller one, or raise"
            " model_config.image_max_pixels.",
            row=row,
        )


def _refuse_unbounded(opened: Any, row: int) -> None:
    """Raise InputError for forms whose header bounds no size: a program in PostScript, a picture packed by gzip."""
    packed = any("gzip" in str(tile[0]) for tile in getattr(opened, "tile", None) or ())
    if opened.format == "EPS" or packed:
        raise InputError(
            f"an image of the form {opened.format} is not read, since its size is known only when it has been"
            " unpacked; give a PNG, JPEG, TIFF or WebP.",
            row=row,
        )


def _upright(opened: Any, row: int, settings: Settings) -> Any:
    from PIL import ImageOps

    refuse_size(opened.size, row, settings)
    _refuse_unbounded(opened, row)
    try:
        opened.load()
        refuse_size(opened.size, row, settings)  # an icon's header need not be true
        tags = getattr(opened, "tag_v2", None)
        return pixels.rgb(ImageOps.exif_transpose(opened), tags, row)
    except DECODING as error:
        raise _undecodable(error, row) from error


def _undecodable(error: Exception, row: int) -> InputError:
    return InputError(f"the image cannot be decoded: {_reason(error)}.", row=row)


def _reason(error: Exception) -> str:
    """The error's text without the name of the buffer that PIL read from, which tells nobody anything."""
    text = str(error).partition("<_io")[0].strip()
    return text.rstrip(" .") or type(error).__name__


def _pixels(value: Any, row: int) -> Any:
    """(height, width) or (height, width, 3 or 4) of uint8."""
    import numpy as np

    try:
        array = np.asarray(media.on_host(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"the array cannot be read: {error}", row=row) from error
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
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return np.ascontiguousarray(pixels.scaled_bytes(array, pixels.SHORT))
    if array.dtype.kind == "f" and np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1:
        return np.ascontiguousarray(pixels.scaled_bytes(array, 1))
    raise InputError(
        f"an image array must be of uint8, of uint16 with its whole range, or of floats from 0 to 1; this one is"
        f" {array.dtype}{_range(array)}.",
        row=row,
    )


def _range(array: Any) -> str:
    return f" from {array.min():g} to {array.max():g}" if array.dtype.kind in "iuf" else ""


def _library() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError("reading images needs the package pillow; pip install 'hfspec[vision]'.") from error
    return Image
