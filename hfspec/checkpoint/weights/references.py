"""Weights that stay at their source: what a reference artifact says of them, and the steps that bring them home."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.weights.safetensors_layout import in_file_order
from hfspec.checkpoint.weights.saving import METADATA, index_step
from hfspec.checkpoint.weights.weight_files import INDEX, WeightGroup
from hfspec.errors import VerificationError
from hfspec.ir.artifact import MANIFEST_NAME, FileRecord, Pointer, WrittenFile
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.pins import Reader, TensorInfo
from hfspec.ir.plan import CopyFile, TensorMove, WriteBytes, WriteWeights
from hfspec.ir.problem import Problem

Step = CopyFile | WriteWeights | WriteBytes
MODEL = "model/"


def reference_problems(files: SourceFiles, groups: Sequence[WeightGroup]) -> Iterator[Problem]:
    """The problems that keep the model in ``files`` with these weights from being referred to."""
    pickled_paths = [path for group in groups if group.pickled for path in group.headers]
    if pickled_paths:
        yield files.problem(
            "not-by-reference",
            "the weights are pickled, and what runs reads safetensors only: they must be converted first",
            at=("save_mode",),
            found=pickled_paths[0],
            remedy="write save_mode: full, which converts them, or name a source with safetensors",
        )


def pointers(files: SourceFiles, groups: Sequence[WeightGroup], steps: Sequence[Step]) -> tuple[Pointer, ...]:
    """A pointer for each group of weights, the model's own first. ``steps``: those of a full save."""
    return tuple(_pointer(files, group, steps) for group in groups)


def carried(files: SourceFiles, groups: Sequence[WeightGroup], steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps of a full save without those of the groups' weights; an index is the source's own."""
    targets = {step.target for group in groups for step in _weights_of(group, steps)}
    indexes = [_index_of(group.folder) for group in groups]
    other_steps = [step for step in steps if step.target not in targets and step.target not in indexes]
    own = [(_index_of(group.folder), files.file(group.index)) for group in groups if group.index]
    return (*other_steps, *(CopyFile(target, files.role, file.path, file.size, file.sha256) for target, file in own))


def steps_of(pointer: Pointer, reader: Reader) -> Iterator[Step]:
    """The steps of a full save that were left out for the pointer.

    Raises VerificationError when the manifest names tensors that its files do not have, SourceError.
    """
    if not pointer.written:
        for file in pointer.files:
            yield CopyFile(MODEL + file.path, pointer.role, file.path, file.size, file.sha256)
        return
    placed = _placed(pointer, reader)
    moves = {file.path: [_move(pointer, placed, *item) for item in file.tensors.items()] for file in pointer.written}
    for target in pointer.written:
        yield WriteWeights(target.path, in_file_order(moves[target.path]), METADATA, target.size)
    if len(moves) > 1:
        yield index_step(MODEL + pointer.folder, moves)


def is_replaced(pointers: Sequence[Pointer], path: str) -> bool:
    """Whether a file of the reference artifact is not one of the full artifact: an index of the source's shards."""
    return path in {_index_of(pointer.folder) for pointer in pointers if pointer.written}


def _pointer(files: SourceFiles, group: WeightGroup, steps: Sequence[Step]) -> Pointer:
    write_steps = [step for step in _weights_of(group, steps) if isinstance(step, WriteWeights)]
    return Pointer(
        role=files.role,
        folder=group.folder,
        files=tuple(_record(files, path) for path in group.headers),
        written=tuple(WrittenFile(step.target, step.size, _dtypes(step)) for step in write_steps),
        unused=tuple(sorted(move.name for step in write_steps for move in step.tensors if not move.used)),
    )


def _record(files: SourceFiles, path: str) -> FileRecord:
    file = files.file(path)
    return FileRecord(path, file.size, file.sha256 or "")


def _dtypes(step: WriteWeights) -> FrozenDict:
    return FrozenDict({move.name: move.dtype for move in sorted(step.tensors, key=lambda move: move.name)})


def _weights_of(group: WeightGroup, steps: Sequence[Step]) -> Iterator[CopyFile | WriteWeights]:
    """The steps that put this group's weights into model/."""
    model = MODEL.rstrip("/")
    for step in steps:
        if isinstance(step, CopyFile) and step.role == model and step.path in group.headers:
            yield step
        if isinstance(step, WriteWeights) and {(move.role, move.path) for move in step.tensors} <= {
            (model, path) for path in group.headers
        }:
            yield step


def _index_of(folder: str) -> str:
    return MODEL + folder + INDEX


def _placed(pointer: Pointer, reader: Reader) -> Mapping[str, tuple[str, TensorInfo]]:
    headers = ((file.path, reader.header(file.path)) for file in pointer.files)
    return {tensor.name: (path, tensor) for path, header in headers for tensor in header.tensors}


def _move(pointer: Pointer, placed: Mapping[str, tuple[str, TensorInfo]], name: str, dtype: str) -> TensorMove:
    if name not in placed:
        text = f"{MANIFEST_NAME} names the tensor {name}, which the weights of {pointer.role} do not have."
        raise VerificationError(text, [MANIFEST_NAME])
    path, tensor = placed[name]
    return TensorMove.of(pointer.role, path, tensor, dtype, used=name not in pointer.unused)
