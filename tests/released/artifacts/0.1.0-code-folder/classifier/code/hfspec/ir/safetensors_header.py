"""The header of a safetensors file, read strictly.

The format: 8 bytes, little endian, for the length of the JSON that follows; then the tensors' bytes, one after the
other without gaps (https://huggingface.co/docs/safetensors/en/index#format).
"""

from __future__ import annotations

import json
import math
from types import MappingProxyType
from typing import Any

from hfspec.ir.pins import TensorInfo, WeightHeader

# The reference implementation's own limit.
LONGEST_HEADER = 100_000_000
ITEM_BITS = MappingProxyType(
    {
        **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
        **dict.fromkeys(("F32", "I32", "U32"), 32),
        **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
        **dict.fromkeys(("BOOL", "I8", "U8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
        **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
        "F4": 4,
    }
)


def header_length(prefix: bytes, file_size: int) -> int:
    """How many bytes come before the data, by the first 8 bytes of a file of this size.

    Raises ValueError when that cannot be.
    """
    if file_size < 8 or len(prefix) < 8:
        raise ValueError(f"the file has {min(file_size, len(prefix))} bytes, too few for a safetensors header")
    length = int.from_bytes(prefix[:8], "little")
    if length > LONGEST_HEADER:
        raise ValueError(f"its header claims to be {length} bytes long, more than the format's limit")
    if length + 8 > file_size:
        raise ValueError(f"its header claims to be {length} bytes long, but the file has only {file_size}")
    return length + 8


def parse_header(prefix: bytes, file_size: int) -> WeightHeader:
    """The header at the beginning of ``prefix``, which must hold all of it, for a file of ``file_size`` bytes.

    Raises ValueError with the reason unless every tensor has a known dtype and the bytes its shape needs, and all of
    them together fill the file without gap or overlap.
    """
    length = header_length(prefix, file_size)
    if len(prefix) < length:
        raise ValueError(f"only {len(prefix)} of its header's {length} bytes are there")
    entries = _entries(prefix[8:length])
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("the metadata in its header is not a mapping of texts")
    tensors = sorted((_tensor(name, entry) for name, entry in entries.items()), key=lambda t: (t.start, t.end, t.name))
    _check_layout(tensors, file_size - length)
    return WeightHeader(length, tuple(tensors), MappingProxyType(dict(metadata)))


def _entries(text: bytes) -> dict[str, Any]:
    try:
        entries = json.loads(text, object_pairs_hook=_without_duplicates)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError("its header is not JSON") from error
    if not isinstance(entries, dict):
        raise ValueError("its header is not a JSON object")
    return entries


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("its header has an entry twice")
    return result


def _tensor(name: str, entry: object) -> TensorInfo:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"the entry of tensor {name!r} is not one of dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BITS:
        raise ValueError(f"tensor {name!r} has the unknown dtype {dtype!r}")
    if not _is_sizes(shape):
        raise ValueError(f"tensor {name!r} has the impossible shape {shape!r}")
    if not _is_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"tensor {name!r} has the impossible offsets {offsets!r}")
    needed, rest = divmod(math.prod(shape) * ITEM_BITS[dtype], 8)
    if rest or needed != offsets[1] - offsets[0]:
        raise ValueError(
            f"tensor {name!r} of shape {shape} and dtype {dtype} does not fit its {offsets[1] - offsets[0]} bytes"
        )
    return TensorInfo(name, dtype, tuple(shape), offsets[0], offsets[1])


def _is_sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _check_layout(tensors: list[TensorInfo], data_size: int) -> None:
    expected = 0
    for tensor in tensors:
        if tensor.start != expected:
            kind = "overlaps the one before it" if tensor.start < expected else "leaves a gap before it"
            raise ValueError(f"tensor {tensor.name!r} {kind}")
        expected = tensor.end
    if expected > data_size:
        raise ValueError(f"it is cut short: its tensors need {expected} bytes, but only {data_size} are there")
    if expected < data_size:
        raise ValueError(f"it has {data_size - expected} bytes more than its tensors need")


__all__ = ["ITEM_BITS", "LONGEST_HEADER", "header_length", "parse_header"]
