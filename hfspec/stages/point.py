"""A plan's pointers, each with the digest of the bytes that it points at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hfspec.errors import SourceError
from hfspec.integrity.digests import digest
from hfspec.integrity.verified_memory import Memory
from hfspec.ir.artifact import FileRecord, Pointer
from hfspec.ir.pins import Reader
from hfspec.ir.plan import Plan
from hfspec.ir.progress import Progress


def point(plan: Plan, readers: Mapping[str, Reader], progress: Progress, memory: Path | None) -> Plan:
    """Add a sha256 for each file that a pointer names to the plan.

    No weight is read whose digest a hub states, a lock holds, or ``memory`` (a file, as Memory keeps it) knows; any
    other is read once. Raises SourceError, StorageError.
    """
    digests = Memory.read(memory)
    pointers = tuple(_pointed(pointer, readers[pointer.role], digests, progress) for pointer in plan.pointers)
    digests.write()
    return replace(plan, pointers=pointers)


def _pointed(pointer: Pointer, reader: Reader, digests: Memory, progress: Progress) -> Pointer:
    return replace(pointer, files=tuple(_digested(pointer, file, reader, digests, progress) for file in pointer.files))


def _digested(pointer: Pointer, file: FileRecord, reader: Reader, digests: Memory, progress: Progress) -> FileRecord:
    if file.sha256:
        return file
    local = reader.fetch(file.path)
    progress.start(f"{pointer.role}: digest of {file.path}", file.size)
    try:
        with local.open("rb", buffering=0) as stream:
            sha256 = digest(stream, digests, progress)
        reader.fetch(file.path)  # refuses a file that was written to while it was read
    except OSError as error:
        raise SourceError(f"{file.path} of {pointer.role} cannot be read: {error.strerror}.") from error
    finally:
        progress.finish()
    return replace(file, sha256=sha256)
