"""How the weights get into the artifact: copied as they are, or written anew for a cast or a new sharding."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import prod

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.weights.safetensors_layout import bytes_of, in_file_order, preamble
from hfspec.checkpoint.weights.weight_files import INDEX, SAFETENSORS, WeightGroup
from hfspec.ir.dtypes import BY_TORCH_NAME, CASTABLE, size_of
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.pins import TensorInfo, WeightHeader
from hfspec.ir.plan import CopyFile, TensorMove, WriteBytes, WriteWeights

UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
UNCHANGED: Mapping[str, TensorMove] = FrozenDict()
METADATA = FrozenDict({"format": "pt"})


@dataclass(frozen=True, slots=True)
class Saving:
    """How weights are to be saved. ``cast``: torch's name of the dtype to cast to, None to keep what is stored.
    ``dtypes``: tensor's name -> the dtype that the library loads it as under that cast; it keeps in float32 what the
    architecture must. ``limit``: bytes that a file may have, None for any.
    """

    cast: str | None
    dtypes: Mapping[str, str]
    limit: int | None

    def dtype(self, tensor: TensorInfo) -> str:
        """Safetensors' name of the dtype a tensor is saved as."""
        if self.cast is None or tensor.dtype not in CASTABLE:
            return tensor.dtype
        target_dtype = BY_TORCH_NAME[self.dtypes.get(tensor.name, self.cast)]
        return target_dtype if target_dtype in CASTABLE else tensor.dtype


def size_in_bytes(text: str) -> int:
    """``5GB`` is 5 * 10**9, ``5GiB`` is 5 * 2**30."""
    unit = next(unit for unit in sorted(UNITS, key=len, reverse=True) if text.endswith(unit))
    return int(Decimal(text.removesuffix(unit)) * UNITS[unit])


def weight_steps(
    files: SourceFiles,
    group: WeightGroup,
    place: str,
    saving: Saving,
    *,
    name: str = SAFETENSORS,
    changes: Mapping[str, TensorMove] = UNCHANGED,
) -> tuple[CopyFile | WriteWeights | WriteBytes, ...]:
    """The steps that put a group's weights under the folder ``place`` (ending with a slash) of the artifact, as
    ``name`` where they are one file. ``changes``: tensors that stand in place of the group's, or beside them, by name.
    """
    if _as_they_are(group, saving) and not changes:
        copies = [_copy(files, path, place + path) for path in group.headers]
        return (*copies, *(_copy(files, path, place + group.folder + INDEX) for path in filter(None, [group.index])))
    own = {tensor.name: _move(files, path, tensor, saving) for path, tensor in group.placed()}
    shards = _shards(sorted({**own, **changes}.values(), key=lambda move: move.name), saving.limit)
    return tuple(_written(shards, place + group.folder, name))


def weight_bytes(group: WeightGroup, saving: Saving) -> int:
    """Bytes of the group's tensors as they are saved."""
    return sum(prod(tensor.shape) * size_of(saving.dtype(tensor)) for tensor in group.tensors)


def parameters(group: WeightGroup) -> int:
    """Number of elements of the group's tensors."""
    return sum(prod(tensor.shape) for tensor in group.tensors)


def _as_they_are(group: WeightGroup, saving: Saving) -> bool:
    cast = any(saving.dtype(tensor) != tensor.dtype for tensor in group.tensors)
    large = any(_is_too_large(header, saving.limit) for header in group.headers.values())
    return not (group.pickled or cast or large)


def _is_too_large(header: WeightHeader, limit: int | None) -> bool:
    """Tensors alone count, as in the library's own shards, and a single one cannot be split."""
    size = max((tensor.end for tensor in header.tensors), default=0)
    return limit is not None and size > limit and len(header.tensors) > 1


def _copy(files: SourceFiles, path: str, target: str) -> CopyFile:
    file = files.file(path)
    return CopyFile(target, files.role, path, file.size, file.sha256)


def _move(files: SourceFiles, path: str, tensor: TensorInfo, saving: Saving) -> TensorMove:
    used = not saving.dtypes or tensor.name in saving.dtypes
    return TensorMove.of(files.role, path, tensor, saving.dtype(tensor), used=used)


def _shards(moves: Sequence[TensorMove], limit: int | None) -> list[list[TensorMove]]:
    """Consecutive tensors, as many as the limit allows; a tensor above it has a shard of its own."""
    shards: list[list[TensorMove]] = [[]]
    size = 0
    for move in moves:
        if shards[-1] and limit is not None and size + bytes_of(move) > limit:
            shards.append([])
            size = 0
        shards[-1].append(move)
        size += bytes_of(move)
    return shards


def _written(shards: list[list[TensorMove]], folder: str, single: str) -> Iterator[WriteWeights | WriteBytes]:
    count = len(shards)
    names = [f"model-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1)]
    for name, shard in zip(names if count > 1 else [single], shards, strict=True):
        tensors = in_file_order(shard)
        size = len(preamble(tensors, METADATA)) + sum(map(bytes_of, tensors))
        yield WriteWeights(folder + name, tensors, METADATA, size)
    if count > 1:
        yield index_step(folder, dict(zip(names, shards, strict=True)))


def index_step(folder: str, shards: Mapping[str, Sequence[TensorMove]]) -> WriteBytes:
    """The index of the weight files in ``folder`` (ending with a slash): file name, or path, -> its tensors."""
    total = sum(bytes_of(move) for moves in shards.values() for move in moves)
    weight_map = {move.name: path.removeprefix(folder) for path, moves in shards.items() for move in moves}
    text = json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2, sort_keys=True) + "\n"
    return WriteBytes(folder + INDEX, text.encode())
