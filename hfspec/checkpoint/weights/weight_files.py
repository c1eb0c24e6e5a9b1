"""The files that hold a model's weights: which ones, what is in them, whether they are whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.weights import pickled
from hfspec.errors import SpecError
from hfspec.ir.dtypes import DTYPES
from hfspec.ir.pins import TensorInfo, WeightHeader
from hfspec.ir.problem import Problem, one_of
from hfspec.ir.weight_index import SUFFIX, weight_map

SAFETENSORS = "model.safetensors"
INDEX = f"{SAFETENSORS}.index.json"
PICKLED = "pytorch_model.bin"
# Never part of an artifact: code, pickles, and weights of other frameworks. The weights hfspec uses are written apart.
NEVER_COPIED = frozenset(
    {
        *(".bin", ".ckpt", ".gguf", ".h5", ".joblib", ".msgpack", ".onnx", ".pickle", ".pkl", ".pt", ".pth"),
        *(".py", ".pyc", ".safetensors", ".so"),
    }
)


@dataclass(frozen=True, slots=True)
class WeightGroup:
    """The weights of one model or module. ``folder`` is empty or ends with a slash. ``headers``: path -> header, in
    order of paths. ``index``: the index file's path, empty when there is none. ``pickled``: whether they are .bin.
    """

    folder: str
    headers: dict[str, WeightHeader]
    index: str
    pickled: bool

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        return tuple(tensor for header in self.headers.values() for tensor in header.tensors)

    def placed(self) -> Iterator[tuple[str, TensorInfo]]:
        """Each tensor with the path of its file."""
        return ((path, tensor) for path, header in self.headers.items() for tensor in header.tensors)


def weight_group(files: SourceFiles, folder: str = "", names: tuple[str, str] = (SAFETENSORS, PICKLED)) -> WeightGroup:
    """The weights in ``folder`` (empty, or ending with a slash): safetensors, else .bin, under these names.

    Raises SpecError with every problem found: no weights, files that the index names and that are not there, tensors
    that are not where the index says, truncated files.
    """
    index, paths = _paths(files, folder, names)
    if not paths:
        raise files.refusal(
            "no-weights",
            f"the source has neither {folder}{names[0]} nor {folder}{names[1]}",
            remedy="name a source with weights in one of these formats",
        )
    absent = tuple(path for path in paths if not files.has(path))
    if absent:
        raise files.refusal(
            "broken-checkpoint",
            f"{index} names weight files that are not there: {listed(absent)}",
            remedy="put the files there, or fetch the checkpoint again",
        )
    is_pickled = not paths[0].endswith(SUFFIX)
    headers = {path: pickled.header(files, path) if is_pickled else files.header(path) for path in paths}
    group = WeightGroup(folder, headers, index, is_pickled)
    problems = (
        *_index_problems(files, group),
        *_size_problems(files, group),
        *_duplicates(files, group),
        *_dtype_problems(files, group),
    )
    if problems:
        raise SpecError(problems)
    return group


def has_weights(files: SourceFiles, folder: str = "") -> bool:
    """Whether there are weights in ``folder`` (empty, or ending with a slash)."""
    return bool(_paths(files, folder, (SAFETENSORS, PICKLED))[1])


def is_copied(path: str) -> bool:
    """Whether a file that is no weight goes into the artifact as it is."""
    return PurePosixPath(path).suffix.lower() not in NEVER_COPIED


def _paths(files: SourceFiles, folder: str, names: tuple[str, str]) -> tuple[str, tuple[str, ...]]:
    for name in names:
        index = f"{folder}{name}.index.json"
        if files.has(f"{folder}{name}"):
            return "", (f"{folder}{name}",)
        if files.has(index):
            return index, tuple(sorted({f"{folder}{path}" for path in _weight_map(files, index).values()}))
    return "", ()


def _weight_map(files: SourceFiles, index: str) -> dict[str, str]:
    try:
        return weight_map(files.json(index))
    except ValueError as error:
        raise files.refusal(
            "broken-checkpoint",
            f"{index} {error}",
            remedy="mend the index, or save the checkpoint again with save_pretrained",
        ) from error


def _index_problems(files: SourceFiles, group: WeightGroup) -> Iterator[Problem]:
    if not group.index:
        return
    there = {(tensor.name, path) for path, tensor in group.placed()}
    index_entries = {(name, f"{group.folder}{path}") for name, path in _weight_map(files, group.index).items()}
    absent_tensors = sorted(name for name, _ in index_entries - there)
    if absent_tensors:
        yield files.problem(
            "broken-checkpoint",
            f"{group.index} names tensors that are not in the file it says: {listed(absent_tensors)}",
        )


def _size_problems(files: SourceFiles, group: WeightGroup) -> Iterator[Problem]:
    if group.pickled:
        return
    for path, header in group.headers.items():
        expected_size = header.length + max((tensor.end for tensor in header.tensors), default=0)
        size = files.file(path).size
        if size != expected_size:
            yield files.problem(
                "broken-checkpoint",
                f"{path} is {'truncated' if size < expected_size else 'longer than its header says'}",
                expected=f"{expected_size} bytes",
                found=f"{size}",
                remedy="fetch it again",
            )


def _dtype_problems(files: SourceFiles, group: WeightGroup) -> Iterator[Problem]:
    for path, tensor in group.placed():
        if tensor.dtype not in DTYPES:
            yield files.problem(
                "wrong-tensors",
                f"tensor {tensor.name} in {path} is stored as {tensor.dtype}, which cannot be carried along",
                expected=one_of(DTYPES),
                found=tensor.dtype,
            )


def _duplicates(files: SourceFiles, group: WeightGroup) -> Iterator[Problem]:
    paths: dict[str, str] = {}
    for path, tensor in group.placed():
        if tensor.name in paths:
            yield files.problem(
                "broken-checkpoint", f"tensor {tensor.name} is in {paths[tensor.name]} and again in {path}"
            )
        paths[tensor.name] = path


def listed(names: list[str] | tuple[str, ...], most: int = 6) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
