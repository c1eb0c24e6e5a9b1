"""A new safetensors file, written tensor by tensor and cast chunk by chunk: memory for a chunk, not for a tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hfspec.artifact.writing import CHUNK, DigestingFile, copy_range
from hfspec.checkpoint.adapters.merger import Merger
from hfspec.checkpoint.weights import pickled
from hfspec.checkpoint.weights.safetensors_layout import preamble
from hfspec.errors import SourceError, SpecError
from hfspec.ir.artifact import FileRecord
from hfspec.ir.dtypes import DTYPES, torch_dtype
from hfspec.ir.pins import Reader
from hfspec.ir.plan import Merging, TensorMove, WriteWeights
from hfspec.ir.problem import Problem
from hfspec.ir.progress import Progress, Silent
from hfspec.ir.weight_index import SUFFIX

PIECE = 32_000  # elements; for more, torch wakes threads that then wait, busily, where the digest is to be computed


def write_weights(
    step: WriteWeights,
    readers: Mapping[str, Reader],
    target: Path,
    progress: Progress,
    merging: Merging | None = None,
) -> FileRecord:
    """The file that ``step`` describes; ``merging``: the model of those of its tensors that an adapter is merged into.

    Raises SourceError when a source's bytes cannot be read, SpecError, at ``dtype``, when a number is too large for the
    dtype that it is cast to, OSError when the target cannot be written.
    """
    sources = _Sources(readers, merging)
    with DigestingFile(target) as file:
        file.write(preamble(step.tensors, step.metadata))
        for move in step.tensors:
            before = file.size
            sources.write(move, file.write)
            progress.advance(file.size - before)
        if file.size != step.size:
            raise SourceError(f"the sources of {step.target} ended early ({file.size} of {step.size} bytes).")
        return FileRecord(step.target, file.size, file.sha256)


class _Sources:
    """The files that tensors come from, each found once."""

    def __init__(self, readers: Mapping[str, Reader], merging: Merging | None) -> None:
        self._readers = readers
        self._merger = Merger(merging, self._tensor) if merging is not None else None
        self._starts: dict[tuple[str, str], tuple[Path, int]] = {}
        self._pickled: dict[tuple[str, str], dict[str, Any]] = {}

    def write(self, move: TensorMove, write: Callable[[Any], None]) -> None:
        """The tensor's bytes, cast when the move says so, to ``write``."""
        if move.merge is not None:
            assert self._merger is not None, "a plan with merged tensors says into which model"
            for chunk in _chunks_of(self._merger.merged(move.merge)):
                write(chunk)
            return
        writer = write if move.dtype == move.source_dtype else _caster(move, write)
        if not move.path.endswith(SUFFIX):
            for chunk in _chunks_of(self._tensors(move)[move.stored_name or move.name]):
                writer(chunk)
            return
        path, start = self._place(move)
        copy_range(path, start + move.start, start + move.end, writer, Silent())

    def _tensor(self, move: TensorMove) -> Any:
        """The whole tensor in memory, cast when the move says so."""
        import torch

        source_dtype, target_dtype = (torch_dtype(name) for name in (move.source_dtype, move.dtype))
        if not move.path.endswith(SUFFIX):
            return self._tensors(move)[move.stored_name or move.name].to(target_dtype)
        path, start = self._place(move)
        buffer = bytearray()
        copy_range(path, start + move.start, start + move.end, buffer.extend, Silent())
        return torch.frombuffer(buffer, dtype=source_dtype).reshape(move.shape).to(target_dtype)

    def _place(self, move: TensorMove) -> tuple[Path, int]:
        key = (move.role, move.path)
        if key not in self._starts:
            reader = self._readers[move.role]
            self._starts[key] = (reader.fetch(move.path), reader.header(move.path).length)
        return self._starts[key]

    def _tensors(self, move: TensorMove) -> dict[str, Any]:
        key = (move.role, move.path)
        if key not in self._pickled:
            self._pickled[key] = pickled.open_tensors(self._readers[move.role].fetch(move.path))
        return self._pickled[key]


def _caster(move: TensorMove, write: Callable[[Any], None]) -> Callable[[Any], None]:
    import torch

    source_dtype, target_dtype = (torch_dtype(name) for name in (move.source_dtype, move.dtype))
    may_overflow = move.used and torch.finfo(source_dtype).max > torch.finfo(target_dtype).max

    def cast(chunk: Any) -> None:
        before = torch.frombuffer(chunk, dtype=source_dtype)
        after = torch.empty(before.shape, dtype=target_dtype)
        for old, new in zip(before.split(PIECE), after.split(PIECE), strict=True):
            new.copy_(old)
            if may_overflow and _has_overflown(old, new):
                raise _overflow(move, float(before[before.isfinite()].abs().max()))
        write(after.view(torch.uint8).numpy())

    return cast


def _has_overflown(before: Any, after: Any) -> bool:
    """Whether a number has become infinite. Nearly always its range says that none has, in a tenth of the time."""
    import torch

    least, most = (float(value) for value in before.aminmax())
    limit = torch.finfo(after.dtype).max
    if -limit <= least and most <= limit:  # neither holds for nan
        return False
    return not (after.isfinite() | ~before.isfinite()).all()


def _overflow(move: TensorMove, largest: float) -> SpecError:
    """Infinities among the weights make every answer nan; bfloat16 has the range of float32."""
    dtype_name = DTYPES[move.dtype].name
    problem = Problem(
        "cast-overflows",
        f"tensor {move.name} of {move.path} holds numbers up to {largest:.4g}, which are infinite in {dtype_name}",
        path=("dtype",),
        found=dtype_name,
        remedy="choose bfloat16" if move.dtype == "F16" else "keep the weights as they are stored (auto)",
    )
    return SpecError((problem,))


def _chunks_of(tensor: Any) -> Any:
    """A tensor's bytes in row-major order, as arrays of at most CHUNK bytes each (one row at least)."""
    import torch

    if tensor.dim() == 0 or tensor.numel() == 0:
        yield tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
        return
    rows = max(1, CHUNK // max(1, tensor[0].numel() * tensor.element_size()))
    for start in range(0, tensor.shape[0], rows):
        yield tensor[start : start + rows].contiguous().reshape(-1).view(torch.uint8).numpy()
