"""Embeddings in fewer bits, as sentence_transformers.quantize_embeddings makes them, row by row.

The library takes the ranges of int8 and uint8 from the batch at hand where none are given, so that a text's embedding
depends on its neighbours. Here the ranges are a setting, and these precisions need it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DTYPES = {"float32": "float32", "int8": "int8", "uint8": "uint8", "binary": "int8", "ubinary": "uint8"}
SCALED = ("int8", "uint8")
PACKED = ("binary", "ubinary")
RANGES = "quantization_ranges"


def kept(size: int, settings: Mapping[str, Any]) -> int:
    """How many of an embedding's ``size`` dimensions are kept."""
    return min(size, int(settings.get("truncate_dim") or size))


def array(size: int, settings: Mapping[str, Any]) -> tuple[str, int]:
    """Numpy's name of the dtype, and the width, of embeddings of ``size`` dimensions under these settings."""
    precision, width = settings.get("precision") or "float32", kept(size, settings)
    return DTYPES[precision], (width + 7) // 8 if precision in PACKED else width


def fault(size: int, settings: Mapping[str, Any]) -> str:
    """Why embeddings of ``size`` dimensions cannot have the precision that is asked for; empty when they can."""
    precision, ranges = settings.get("precision") or "float32", settings.get(RANGES)
    if precision not in SCALED:
        return f"{RANGES} has no effect on precision {precision}" if ranges is not None else ""
    if ranges is None:
        return (
            f"precision {precision} needs {RANGES}, the least and the greatest value of each dimension, since ranges"
            " taken from the texts of a call would let an embedding depend on its neighbours"
        )
    return _ranges_fault(ranges, kept(size, settings))


def quantized(vectors: Any, settings: Mapping[str, Any]) -> Any:
    """``vectors``, a numpy array (rows, dimensions) of float32, at the precision that the settings ask for."""
    import numpy as np

    precision = settings.get("precision") or "float32"
    if precision in PACKED:
        packed = np.packbits(vectors > 0, axis=-1)
        return packed if precision == "ubinary" else (packed.astype(np.int16) - 128).astype(np.int8)
    if precision not in SCALED:
        return vectors
    starts, ends = (np.asarray(side, np.float32) for side in settings[RANGES])
    steps = (ends - starts) / 255
    levels = np.clip(np.floor((vectors - starts) / np.where(steps == 0, 1, steps)), 0, 255)
    return levels.astype(np.uint8) if precision == "uint8" else (levels - 128).astype(np.int8)


def _ranges_fault(ranges: Any, width: int) -> str:
    rule = f"{RANGES} must be two lists, of least and of greatest values, each of 1 or {width} numbers"
    if not isinstance(ranges, Sequence) or len(ranges) != 2 or not all(_is_numbers(side) for side in ranges):
        return rule
    least, greatest = ranges
    if any(len(side) not in (1, width) for side in ranges):
        return f"{rule}, and has {len(least)} and {len(greatest)}"
    pairs = zip(_wide(least, width), _wide(greatest, width), strict=True)
    index = next((place for place, (low, high) in enumerate(pairs) if not low <= high), None)
    return "" if index is None else f"{RANGES} has a least value above the greatest, in dimension {index}"


def _wide(side: Sequence[float], width: int) -> Sequence[float]:
    return list(side) * width if len(side) == 1 else side


def _is_numbers(side: Any) -> bool:
    return isinstance(side, Sequence) and all(type(value) in {int, float} and abs(value) < 1e30 for value in side)
