"""The dtype of a deployment: what the spec says, else what is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.weights.weight_files import WeightGroup
from hfspec.formats.quantisation import quantisation
from hfspec.ir.dtypes import dominant
from hfspec.ir.problem import Problem
from hfspec.ir.spec import Spec


def resolved_dtype(spec: Spec, raw: Mapping[str, Any], group: WeightGroup) -> str:
    """Torch's name of the dtype that most weights will have. ``raw``: config.json."""
    if spec.dtype != "auto":
        return spec.dtype
    if quantisation(raw) is not None:
        return declared_dtype(raw) or "float32"
    return dominant(group.tensors) or "float32"


def declared_dtype(raw: Mapping[str, Any]) -> str | None:
    """The dtype that config.json says, None where it says none."""
    value = raw.get("dtype", raw.get("torch_dtype"))
    return value.removeprefix("torch.") if isinstance(value, str) else None


def quantised_cast(spec: Spec, files: SourceFiles, raw: Mapping[str, Any]) -> Iterator[Problem]:
    """A cast of what only its quantiser understands."""
    message = "the checkpoint is quantised, and its weights cannot be cast"
    if quantisation(raw) is None:
        return
    if spec.dtype != "auto":
        yield files.problem("cast-of-quantised", message, at=("dtype",), expected="auto", found=spec.dtype)
    if (chosen := spec.runtime.compute_dtype) is not None:
        at = ("runtime", "compute_dtype")
        yield files.problem("cast-of-quantised", message, at=at, found=chosen, remedy="remove `compute_dtype`")
