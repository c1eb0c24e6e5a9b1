"""Dtypes by safetensors' names, by torch's and by the spec's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import prod

from hfspec.ir.pins import TensorInfo

# safetensors' name -> (torch's name, bits of an element); https://github.com/huggingface/safetensors
DTYPES: dict[str, tuple[str, int]] = {
    "BOOL": ("bool", 8),
    "U8": ("uint8", 8),
    "I8": ("int8", 8),
    "I16": ("int16", 16),
    "U16": ("uint16", 16),
    "I32": ("int32", 32),
    "U32": ("uint32", 32),
    "I64": ("int64", 64),
    "U64": ("uint64", 64),
    "F8_E4M3": ("float8_e4m3fn", 8),
    "F8_E5M2": ("float8_e5m2", 8),
    "F8_E8M0": ("float8_e8m0fnu", 8),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8),
    "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8),
    "F16": ("float16", 16),
    "BF16": ("bfloat16", 16),
    "F32": ("float32", 32),
    "F64": ("float64", 64),
    "C64": ("complex64", 64),
}
CASTABLE = ("F64", "F32", "BF16", "F16")
BY_TORCH_NAME = {torch_name: name for name, (torch_name, _) in DTYPES.items()}


def size_of(dtype: str) -> int:
    """Bytes of an element."""
    return DTYPES[dtype][1] // 8


def dominant(tensors: Iterable[TensorInfo]) -> str | None:
    """The floating dtype that holds most elements, by the spec's name; None when no tensor is castable."""
    elements: Counter[str] = Counter()
    for tensor in tensors:
        if tensor.dtype in CASTABLE:
            elements[tensor.dtype] += prod(tensor.shape)
    if not elements:
        return None
    most = max(elements, key=lambda name: (elements[name], name))
    return DTYPES[most][0]
