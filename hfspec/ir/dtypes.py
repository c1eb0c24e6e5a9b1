"""The one list of dtypes: safetensors' name, torch's and the spec's, and how a model computes in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from hfspec.ir.pins import TensorInfo


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How exactly a model computes in a dtype."""

    tolerance: float
    """The largest absolute difference of a number that a golden example allows. Measured on embeddings of MiniLM
    (values up to 0.17) that share a batch or do not: 1.2e-7 in float32, 1.5e-4 in float16, 1.2e-3 in bfloat16. A weight
    tensor scaled by 1.01 moves them by at least 7e-5, but for the biases of attention's keys, which softmax takes out.
    """
    rounding: float
    """A share of the largest value in an answer: far above what rounding changes, far below what padding changes where
    it is seen.
    """
    wider: tuple[str, ...] = ()
    """Dtypes that hold greater numbers or hold them more exactly, the likeliest remedy for an overflow first."""


@dataclass(frozen=True, slots=True)
class Dtype:
    """A dtype that a checkpoint's weights may be stored in."""

    name: str
    """Torch's name, which is the spec's."""
    bits: int
    """Bits of an element."""
    arithmetic: Arithmetic | None = None
    """None where no model is run in this dtype, so that a spec cannot ask for it."""


# By safetensors' names (https://github.com/huggingface/safetensors), those that a spec may ask for first.
DTYPES: Mapping[str, Dtype] = MappingProxyType(
    {
        "F32": Dtype("float32", 32, Arithmetic(2e-5, 1e-3, ("float64",))),
        "F16": Dtype("float16", 16, Arithmetic(2e-3, 0.02, ("bfloat16", "float32"))),
        "BF16": Dtype("bfloat16", 16, Arithmetic(1e-2, 0.1, ("float32",))),
        "F64": Dtype("float64", 64, Arithmetic(1e-6, 1e-4)),
        "BOOL": Dtype("bool", 8),
        "U8": Dtype("uint8", 8),
        "I8": Dtype("int8", 8),
        "I16": Dtype("int16", 16),
        "U16": Dtype("uint16", 16),
        "I32": Dtype("int32", 32),
        "U32": Dtype("uint32", 32),
        "I64": Dtype("int64", 64),
        "U64": Dtype("uint64", 64),
        "F8_E4M3": Dtype("float8_e4m3fn", 8),
        "F8_E5M2": Dtype("float8_e5m2", 8),
        "F8_E8M0": Dtype("float8_e8m0fnu", 8),
        "F8_E4M3FNUZ": Dtype("float8_e4m3fnuz", 8),
        "F8_E5M2FNUZ": Dtype("float8_e5m2fnuz", 8),
        "C64": Dtype("complex64", 64),
    }
)
CASTABLE = tuple(name for name, dtype in DTYPES.items() if dtype.arithmetic is not None)
# The dtypes that a spec and load may ask for beside auto.
RUNNABLE = tuple(DTYPES[name].name for name in CASTABLE)
# Those of 16 bits, in which only CPUs with instructions for it are not slower than in float32.
HALVES = tuple(name for name in RUNNABLE if name.endswith("float16"))
BY_TORCH_NAME: Mapping[str, str] = MappingProxyType({dtype.name: name for name, dtype in DTYPES.items()})

if TYPE_CHECKING:
    DtypeName: TypeAlias = str
else:
    DtypeName = Literal[("auto", *RUNNABLE)]


def arithmetic_of(dtype: str) -> Arithmetic:
    """How exactly a model of this dtype (torch's name) computes; as in bfloat16 where weights are only stored in it, as
    quantised ones are.
    """
    stored = BY_TORCH_NAME.get(dtype, "BF16")
    return DTYPES[stored].arithmetic or arithmetic_of("bfloat16")


def torch_dtype(dtype: str) -> Any:
    """The dtype of torch that safetensors or torch itself calls so."""
    import torch

    return getattr(torch, DTYPES[dtype].name if dtype in DTYPES else dtype)


def size_of(dtype: str) -> int:
    """Bytes of an element."""
    return DTYPES[dtype].bits // 8


def dominant(tensors: Iterable[TensorInfo]) -> str | None:
    """The floating dtype that holds most elements, by the spec's name; None when no tensor is castable."""
    elements: Counter[str] = Counter()
    for tensor in tensors:
        if tensor.dtype in CASTABLE:
            elements[tensor.dtype] += prod(tensor.shape)
    if not elements:
        return None
    most = max(elements, key=lambda name: (elements[name], name))
    return DTYPES[most].name
