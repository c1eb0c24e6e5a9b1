"""Quantised checkpoints: which packages read their weights, and what becomes of the weights in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType
from typing import Any

from hfspec.checkpoint.requirements import installed
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.formats.quantisation import QUANTISED, quantisation
from hfspec.ir.dtypes import CASTABLE, size_of
from hfspec.ir.pins import TensorInfo
from hfspec.ir.problem import Problem

METHOD = "quant_method"
BITS_AND_BYTES = "bitsandbytes"
# Each method of transformers -> the packages that its quantizer asks for when a model is loaded, by their names for
# pip; a test compares the methods with the installed library's.
PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "aqlm": ("accelerate", "aqlm"),
        "auto-round": ("auto-round",),
        "awq": ("accelerate", "gptqmodel"),
        "bitnet": ("accelerate",),
        BITS_AND_BYTES: ("accelerate", "bitsandbytes"),
        "compressed-tensors": ("compressed-tensors",),
        "eetq": ("accelerate", "kernels"),
        "fbgemm_fp8": ("accelerate", "fbgemm-gpu-genai"),
        "fouroversix": ("fouroversix",),
        "fp8": ("accelerate",),
        "fp_quant": ("fp-quant",),
        "gemma": (),
        "gguf": ("gguf",),
        "gptq": ("gptqmodel", "optimum"),
        "higgs": ("accelerate", "fast-hadamard-transform", "flute-kernel"),
        "hqq": ("hqq",),
        "metal": ("kernels",),
        "mxfp4": ("accelerate",),
        "mxfp8": ("accelerate",),
        "nvfp4": ("kernels",),
        "quanto": ("accelerate", "optimum-quanto"),
        "quark": ("amd-quark",),
        "sinq": ("sinq",),
        "spqr": ("accelerate", "spqr_quant"),
        "torchao": ("torchao",),
        "vptq": ("accelerate", "vptq"),
    }
)
UTILS = "transformers.utils.import_utils"
GPTQ = "transformers.quantizers.quantizer_gptq"
# Package -> where transformers keeps the least version that it takes.
LEAST: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "accelerate": (UTILS, "ACCELERATE_MIN_VERSION"),
        "auto-round": (UTILS, "AUTOROUND_MIN_VERSION"),
        "bitsandbytes": (UTILS, "BITSANDBYTES_MIN_VERSION"),
        "compressed-tensors": (UTILS, "COMPRESSED_TENSORS_MIN_VERSION"),
        "gguf": (UTILS, "GGUF_MIN_VERSION"),
        "gptqmodel": (GPTQ, "MIN_GPTQ_VERSION"),
        "hqq": (UTILS, "HQQ_MIN_VERSION"),
        "kernels": (UTILS, "KERNELS_MIN_VERSION"),
        "optimum": (GPTQ, "MIN_OPTIMUM_VERSION"),
        "torchao": (UTILS, "TORCHAO_MIN_VERSION"),
        "vptq": (UTILS, "VPTQ_MIN_VERSION"),
    }
)
# Methods whose quantizer expands the weights to the model's dtype where no accelerator computes in theirs.
EXPANDED = frozenset({"fp8", "mxfp4", "mxfp8"})


def method(raw: Mapping[str, Any]) -> str | None:
    """How the weights are quantised by config.json ``raw``, in transformers' words; None when they are not, or when it
    does not say.
    """
    quantization = quantisation(raw)
    if not isinstance(quantization, Mapping):
        return None
    if quantization.get("load_in_8bit") or quantization.get("load_in_4bit"):
        return BITS_AND_BYTES
    method_name = quantization.get(METHOD)
    return method_name if isinstance(method_name, str) else None


def quantiser_problems(files: SourceFiles, raw: Mapping[str, Any]) -> Iterator[Problem]:
    """A method that transformers does not know: it would load the packed tensors as if they were plain ones."""
    method_name, quantization = method(raw), quantisation(raw)
    if quantization is None or method_name in PACKAGES:
        return
    from transformers import __version__

    yield files.problem(
        "unknown-quantisation",
        f"transformers {__version__} does not know how the checkpoint is quantised, and would pass over it",
        expected=f"a {METHOD} in {QUANTISED} of config.json, one of {', '.join(PACKAGES)}",
        found=repr(method_name or (quantization.get(METHOD) if isinstance(quantization, Mapping) else quantization)),
        nearest=next(iter(get_close_matches(str(method_name), PACKAGES, n=1)), ""),
    )


def packages(raw: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The packages that read the weights: the names of those that are installed here, and, for pip, a line for each of
    the others with the least version that transformers takes.
    """
    required = PACKAGES.get(method(raw) or "", ())
    here = installed(required)
    missing = [name for name in required if here[name] == "not installed"]
    return tuple(name for name in required if name not in missing), tuple(map(_line, missing))


def is_expanded(raw: Mapping[str, Any]) -> bool:
    """Whether the weights may take as much memory as plain ones: where the config asks for it, or no GPU is there."""
    quantization = quantisation(raw)
    return method(raw) in EXPANDED or (isinstance(quantization, Mapping) and quantization.get("dequantize") is True)


def expanded_bytes(model: Any, tensors: Iterable[TensorInfo]) -> int:
    """The memory of the parameters and buffers of ``model``, of shapes alone, once its quantised weights are expanded:
    ``tensors`` that are stored as plain numbers stay in their own dtype.
    """
    sizes = {tensor.name: size_of(tensor.dtype) for tensor in tensors if tensor.dtype in CASTABLE}
    model_tensors = (*model.named_parameters(), *model.named_buffers())
    return sum(tensor.numel() * sizes.get(name, tensor.element_size()) for name, tensor in model_tensors)


def _line(name: str) -> str:
    if name not in LEAST:
        return name
    module, constant = LEAST[name]
    least = getattr(import_module(module), constant, None)
    return f"{name}>={least}" if least else name
