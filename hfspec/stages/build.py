"""A plan's steps carried out in a staging folder: bytes copied, tensors cast and written one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hfspec.artifact.linking import Link, linked
from hfspec.artifact.writing import write_bytes, write_copy
from hfspec.checkpoint.weights.tensor_writing import write_weights
from hfspec.ir.artifact import FileRecord
from hfspec.ir.pins import Reader
from hfspec.ir.plan import CopyFile, Work, WriteBytes, WriteWeights
from hfspec.ir.progress import Progress

WEIGHTS = ".safetensors"


def build(
    work: Work,
    readers: Mapping[str, Reader],
    staging: Path,
    progress: Progress,
    link: Link = "copy",
) -> tuple[FileRecord, ...]:
    """Every file of the work, written under ``staging``; their records, sorted by path. ``link``: how a weight
    file gets there that is taken as it is.

    Memory stays at a few buffers whatever the size of the model. Raises SourceError when a source's bytes are not
    those that were pinned, SpecError when a number does not fit the dtype asked for, OSError for what the disk refuses.
    """
    records = []
    for step in sorted(work.steps, key=lambda step: step.target):
        target = staging / step.target
        target.parent.mkdir(parents=True, exist_ok=True)
        progress.start(step.target, step.size)
        if isinstance(step, CopyFile):
            write = linked(link) if step.target.endswith(WEIGHTS) else write_copy
            records.append(write(step, readers[step.role].fetch(step.path), target, progress))
        elif isinstance(step, WriteWeights):
            records.append(write_weights(step, readers, target, progress, work.merging))
        else:
            records.append(write_bytes(step.target, step.content, target))
        _check_unchanged(step, readers)
        progress.finish()
    return tuple(records)


def _check_unchanged(step: CopyFile | WriteWeights | WriteBytes, readers: Mapping[str, Reader]) -> None:
    """A file that was written to while it was read is a mixture of two; a reader refuses one that has changed."""
    if isinstance(step, CopyFile):
        readers[step.role].fetch(step.path)
    elif isinstance(step, WriteWeights):
        for role, path in sorted({file for move in step.tensors for file in move.files}):
            readers[role].fetch(path)
