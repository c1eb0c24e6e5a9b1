"""A reference artifact to the steps of the full one: its weights found, its other files taken over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hfspec.artifact.persisted import REWRITTEN
from hfspec.checkpoint.weights.references import Step, is_replaced, steps_of
from hfspec.integrity.digests import DigestCheck
from hfspec.integrity.finding import Sources, find
from hfspec.integrity.verified_memory import Memory
from hfspec.ir.artifact import Manifest
from hfspec.ir.pins import Reader
from hfspec.ir.plan import CopyFile
from hfspec.ir.progress import Progress
from hfspec.sources.folder import open_folder

ARTIFACT = "artifact"


@dataclass(frozen=True, slots=True)
class Restored:
    """The steps that make a full artifact's files, but for those that depend on the others; and who reads for them."""

    steps: tuple[Step, ...]
    readers: dict[str, Reader]
    merging: None = None  # what is merged is no source's, so that nothing refers to it


def restore(folder: Path, manifest: Manifest, folders: Sources, progress: Progress, remember: Path | None) -> Restored:
    """The steps for the verified reference artifact in ``folder``; its weights are on this machine, and right.

    ``folders``: role -> folder. ``remember``: the file of digests that were taken before. Raises what find raises.
    """
    memory = Memory.read(remember)
    readers = find(manifest, folders, DigestCheck(memory), progress)
    memory.write()
    weights = (step for pointer in manifest.pointers for step in steps_of(pointer, readers[pointer.role]))
    return Restored((*_kept(manifest), *weights), {**readers, ARTIFACT: open_folder(f"the artifact {folder}", folder)})


def _kept(manifest: Manifest) -> Iterator[Step]:
    for record in manifest.files:
        if record.path not in REWRITTEN and not is_replaced(manifest.pointers, record.path):
            yield CopyFile(record.path, ARTIFACT, record.path, record.size, record.sha256)
