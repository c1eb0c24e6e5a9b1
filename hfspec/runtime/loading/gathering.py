"""A reference artifact's small files and its weights, side by side as a full artifact has them."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from hfspec.errors import StorageError, VerificationError
from hfspec.integrity.digests import DigestCheck
from hfspec.integrity.finding import Sources, check_roles, find
from hfspec.integrity.paths import unsafe_pointers
from hfspec.integrity.verified_memory import Memory, default_memory
from hfspec.ir.artifact import MANIFEST_NAME, Manifest, Pointer
from hfspec.ir.dtypes import torch_dtype
from hfspec.ir.pins import Reader

MODEL = "model"


class Gathered:
    """A temporary folder of links, which a library reads instead of the artifact's own model/. ``model``: its path.

    It is removed with the last reference to this object, at the latest when the process that made it ends; a model
    loaded from it stays. ``digests``: of the weights when they were verified.
    """

    def __init__(self, root: Path, manifest: Manifest, readers: Mapping[str, Reader], digests: DigestCheck) -> None:
        self._root, self._manifest, self.digests = root, manifest, digests
        folder = _temporary_folder()
        self._removal = weakref.finalize(self, _remove, folder, os.getpid())
        self.model = folder / MODEL
        try:
            _assemble(folder, root, manifest, readers)
        except OSError as error:
            self._removal()
            raise StorageError(f"{folder} cannot be written: {error.strerror}; set TMPDIR to another place.") from error

    @cached_property
    def space(self) -> str:
        """The embedding space, as a full artifact's manifest states it; reads every weight once."""
        from hfspec.integrity.embedding_space import embedding_space

        saved = {
            pointer.folder: {name: dtype for file in pointer.written for name, dtype in file.tensors.items()}
            for pointer in self._manifest.pointers
        }
        return embedding_space(self._root, self._manifest, self.model, saved)


def gather(root: Path, manifest: Manifest, sources: Sources, *, verify: bool) -> Gathered | None:
    """Gather the weights of a reference artifact beside its small files.

    Args:
        root: The folder of the artifact.
        manifest: Its manifest.
        sources: Role -> the folder to take instead of any other.
        verify: Whether to check their digests, remembered where they were read before, or their sizes alone.

    Returns:
        The folder with the weights; None when the artifact has them itself.

    Raises:
        UsageError: ``sources`` has a role that the artifact does not look for.
        SourceError: The weights are not found.
        StorageError: The disk refuses a read or a write.
        VerificationError: A path leads out of the folder, or the files that were found have other bytes.
    """
    if not manifest.pointers:
        check_roles(manifest, sources)
        return None
    unsafe = unsafe_pointers(manifest)  # for artifacts that nobody verified
    if unsafe:
        raise VerificationError(f"{MANIFEST_NAME} has weights at unsafe paths: {'; '.join(unsafe)}.", [MANIFEST_NAME])
    memory = Memory.read(default_memory()) if verify else None
    digests = DigestCheck(memory)
    readers = find(manifest, sources, digests)
    if memory is not None:
        memory.write()
    return Gathered(root, manifest, readers, digests)


def _assemble(folder: Path, root: Path, manifest: Manifest, readers: Mapping[str, Reader]) -> None:
    for record in manifest.files:
        if record.path.startswith(f"{MODEL}/"):
            _link(folder / record.path, root / record.path)
    first, *modules = manifest.pointers
    _link_weights(folder, first, readers[first.role])
    for pointer in modules:
        if pointer.written:
            _cast(folder, pointer, readers[pointer.role])
        else:
            _link_weights(folder, pointer, readers[pointer.role])


def _link_weights(folder: Path, pointer: Pointer, reader: Reader) -> None:
    for file in pointer.files:
        _link(folder / MODEL / file.path, reader.fetch(file.path).resolve())


def _link(place: Path, target: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


def _cast(folder: Path, pointer: Pointer, reader: Reader) -> None:
    """Write a small module's weights at the dtype that a full save gives them: no library casts those while loading, as
    transformers does the model's own.
    """
    from safetensors.torch import load_file, save_file

    stored = {name: tensor for file in pointer.files for name, tensor in load_file(reader.fetch(file.path)).items()}
    unknown = sorted({name for file in pointer.written for name in file.tensors} - stored.keys())
    if unknown:
        text = f"{MANIFEST_NAME} names tensors that the weights of {pointer.role} do not have: {', '.join(unknown)}."
        raise VerificationError(text, [MANIFEST_NAME])
    for file in pointer.written:
        tensors = {name: stored[name].to(torch_dtype(dtype)) for name, dtype in file.tensors.items()}
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / file.path, metadata={"format": "pt"})


def _temporary_folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="hfspec-"))
    except OSError as error:
        raise StorageError(f"there is no temporary folder to use ({error.strerror}); set TMPDIR.") from error


def _remove(folder: Path, maker: int) -> None:
    """Remove the folder in the process that made it; a fork of that process, which may end first, leaves it alone."""
    if os.getpid() == maker:
        shutil.rmtree(folder, ignore_errors=True)
