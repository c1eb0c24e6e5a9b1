"""Pixels of any depth as RGB of 8 bits: each mode scaled by its own range, a mode without one refused.

PIL's own ``convert("RGB")`` cuts modes of more than 8 bits off at 255, which turns most such images white or black; for
the modes of 8 bits or fewer it is right, and the alpha is left out, as transformers does.

16-bit integers reach from 0 to 65535, those of a 12-bit TIFF to 4095; mode I, which PIL makes of other 16-bit files,
reaches to 65535 too; floats reach from 0 to 1. Unsigned integers of 16 bits in an array are read like an image's.
"""

from __future__ import annotations

from typing import Any

from hfspec.errors import InputError

BYTE, SHORT = 255, 65535
BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # TIFF's tags
WHITE_IS_ZERO, SIGNED = 0, 2


def rgb(image: Any, tags: Any, row: int) -> Any:
    """The image in mode RGB. ``tags``: of its TIFF file, empty for any other.

    Raises InputError naming the row for values outside the mode's range, or of a mode without one.
    """
    if image.mode == "La":  # the only mode that PIL converts in two steps
        return image.convert("LA").convert("RGB")
    if image.mode == "I" and not image.format:
        _refuse_unclear(image, row)
    if image.mode not in {"I", "F"} and not image.mode.startswith("I;16"):
        return image.convert("RGB")
    import numpy as np
    from PIL import Image

    most = 1 if image.mode == "F" else _most(tags)
    values = np.asarray(image)
    _refuse_outside(values, most, image.mode, tags, row)
    scaled = scaled_bytes(values, most)
    is_negative = bool(tags) and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    return Image.fromarray(255 - scaled if is_negative else scaled).convert("RGB")


def scaled_bytes(values: Any, most: float) -> Any:
    """Values from 0 to ``most`` as uint8, rounded to the nearest."""
    import numpy as np

    floats = values if values.dtype.kind == "f" else values.astype(np.float32)
    return (floats * (255 / most)).round().astype(np.uint8)


def _most(tags: Any) -> int:
    """The greatest value that an integer image's samples can have."""
    bits = tags.get(BITS, ()) if tags else ()
    return 4095 if tuple(bits) == (12,) else SHORT


def _refuse_unclear(image: Any, row: int) -> None:
    """Raise InputError for values that may be of 8 bits: PIL's ``convert("I")`` keeps those, and a dark image of 16
    bits looks the same.
    """
    least, greatest = image.getextrema()
    if 0 <= least < greatest <= BYTE:
        raise InputError(
            f"the image (mode I) holds integers from {least} to {greatest}, which may be an image of 8 bits or a dark"
            " one of 16; convert it to mode L, or to I;16.",
            row=row,
        )


def _refuse_outside(values: Any, most: float, mode: str, tags: Any, row: int) -> None:
    import numpy as np

    if tags and tuple(tags.get(SAMPLE_FORMAT, ())) == (SIGNED,) and tuple(tags.get(BITS, ())) == (16,):
        raise InputError(
            "the image holds signed integers of 16 bits, which have no defined range of brightness; save it with"
            " unsigned integers of 8 or 16 bits.",
            row=row,
        )
    least, greatest = values.min(), values.max()
    if np.isfinite(least) and np.isfinite(greatest) and least >= 0 and greatest <= most:
        return
    kind = "floats" if mode == "F" else "integers"
    raise InputError(
        f"the image (mode {mode}) holds {kind} from {least:g} to {greatest:g}, and such an image's range is 0 to"
        f" {most}; scale it to that, or to 8 bits.",
        row=row,
    )
