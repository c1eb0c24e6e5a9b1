"""``.bin`` checkpoints through torch's restricted loader: tensors only, memory-mapped, nothing of theirs is run."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.ir.dtypes import BY_TORCH_NAME, size_of
from hfspec.ir.pins import TensorInfo, WeightHeader

# The advice that torch adds to a refusal: how to have the file run its code all the same, whom to tell, what to read.
TORCHS_ADVICE = re.compile(
    r"(?:\(\d\) )?In PyTorch 2\.6, .*?trusted source\.|Please file an issue.*?WeightsUnpickler error:|"
    r"\(2\) Alternatively, .*?WeightsUnpickler error:|Check the documentation of torch\.load.*",
    re.DOTALL,
)


def header(files: SourceFiles, path: str) -> WeightHeader:
    """The safetensors header that this file would have, offsets as if the tensors lay one after the other.

    Tensors that share all their memory (tied weights) are listed once, under the first name. Raises SpecError when
    the restricted loader refuses the file or when it holds anything but tensors by name.
    """
    try:
        tensors = open_tensors(files.reader.fetch(path))
    except Exception as error:
        raise files.refusal(
            "pickled-code",
            f"{path} is not a plain pickle of tensors, and torch's restricted loader refuses it: {_reason(error)}",
            remedy="use a checkpoint in safetensors format, or convert this one where running its code is acceptable",
        ) from error
    infos: list[TensorInfo] = []
    storages: set[tuple[Any, ...]] = set()
    offset = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        torch_name = str(tensor.dtype).removeprefix("torch.")
        if torch_name not in BY_TORCH_NAME or str(tensor.layout) != "torch.strided":
            raise files.refusal(
                "wrong-tensors",
                f"tensor {name} in {path} is one that safetensors cannot hold",
                found=f"{torch_name}, {tensor.layout}",
            )
        identity = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tuple(tensor.shape), tensor.stride())
        if tensor.numel() and identity in storages:
            continue
        storages.add(identity)
        dtype = BY_TORCH_NAME[torch_name]
        end = offset + prod(tensor.shape) * size_of(dtype)
        infos.append(TensorInfo(name, dtype, tuple(tensor.shape), offset, end))
        offset = end
    return WeightHeader(length=0, tensors=tuple(infos), metadata={})


def open_tensors(path: Path) -> dict[str, Any]:
    """The tensors in a file, memory-mapped where the file's format allows.

    Raises whatever torch raises over a file that needs code, and ValueError when it is no mapping of tensors.
    """
    import torch

    with warnings.catch_warnings(action="ignore"):
        try:
            value = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):
                raise
            value = torch.load(path, map_location="cpu", weights_only=True)  # the format before torch 1.6
    if isinstance(value, Mapping) and isinstance(value.get("state_dict"), Mapping):
        value = value["state_dict"]
    if not isinstance(value, Mapping):
        raise ValueError("it holds no mapping of names to tensors")
    others = [str(name) for name, item in value.items() if not isinstance(item, torch.Tensor)]
    if others:
        raise ValueError(f"these are not tensors: {', '.join(others[:5])}")
    return {str(name): tensor for name, tensor in value.items()}


def _reason(error: Exception) -> str:
    return " ".join(TORCHS_ADVICE.sub(" ", str(error)).split()) or type(error).__name__
