"""How hfspec writes a safetensors file: which bytes come before the data, and in which order the tensors lie."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import prod

from hfspec.ir.dtypes import size_of
from hfspec.ir.plan import TensorMove

ALIGNMENT = 8


def in_file_order(tensors: Sequence[TensorMove]) -> tuple[TensorMove, ...]:
    """Widest elements first, then by name, so that every tensor begins at a multiple of its element's size."""
    return tuple(sorted(tensors, key=lambda tensor: (-size_of(tensor.dtype), tensor.name)))


def bytes_of(tensor: TensorMove) -> int:
    """Bytes of the tensor as it is saved."""
    return prod(tensor.shape) * size_of(tensor.dtype)


def preamble(tensors: Sequence[TensorMove], metadata: Mapping[str, str]) -> bytes:
    """The eight bytes of the header's length and the header, for tensors that follow in this order."""
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    offset = 0
    for tensor in tensors:
        end = offset + bytes_of(tensor)
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text
