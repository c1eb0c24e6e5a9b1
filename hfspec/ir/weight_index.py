"""The index of a model's weights: which file, by its path below the index's folder, holds which tensor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

SUFFIX = ".safetensors"


def weight_map(index: Any) -> dict[str, str]:
    """Each tensor's name -> the path of its file, which need not be called anything in particular.

    Raises ValueError, which continues the file's name ("names no files"), for an index that transformers cannot load
    from and for one that leads out of its folder.
    """
    entries = index.get("weight_map") if isinstance(index, Mapping) else None
    if not isinstance(entries, Mapping):
        raise ValueError("has no weight_map, which says which file holds which tensor")
    if not entries:
        raise ValueError("names no files: its weight_map is empty")
    if not isinstance(index.get("metadata"), Mapping):
        raise ValueError("has no metadata, without which transformers loads nothing; `{}` will do")
    if no_text := sorted(tensor for tensor, path in entries.items() if not isinstance(path, str) or not path):
        raise ValueError(f"names no file for the tensor {no_text[0]}")
    if outside := sorted(path for path in set(entries.values()) if leads_out(path)):
        raise ValueError(f"names weights outside of its folder: {', '.join(outside[:6])}")
    result = {tensor: PurePosixPath(path).as_posix() for tensor, path in entries.items()}
    if len({path.endswith(SUFFIX) for path in result.values()}) > 1:
        raise ValueError("names files of two formats, safetensors and pickled ones, of which transformers loads one")
    return result


def leads_out(path: str) -> bool:
    """Whether a path in an index or in a list of modules may be one outside of the folder."""
    return PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\\" in path
