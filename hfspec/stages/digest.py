"""Pins to pins with the digest of every file: what a hub does not state is read and digested."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from hfspec.errors import SourceError
from hfspec.ir.pins import FilePin, Pins, Reader, Resolved, SourcePin
from hfspec.ir.progress import Progress, Silent
from hfspec.ir.source_kinds import SOURCE_KINDS

CHUNK = 4 << 20


def digest(resolved: Resolved, progress: Progress) -> Resolved:
    """Add a sha256 for each file to the sources.

    A hub states it for large files, so that only small ones are fetched; every file of a folder or package is read.
    Raises SourceError, StorageError.
    """
    sources = tuple(_source(pin, resolved.readers[pin.role], progress) for pin in resolved.pins.sources)
    return replace(resolved, pins=Pins(sources))


def _source(pin: SourcePin, reader: Reader, progress: Progress) -> SourcePin:
    if SOURCE_KINDS[pin.kind].fetches:  # its reader tells what it fetches
        return replace(pin, files=tuple(_file(pin, file, reader, Silent()) for file in pin.files))
    progress.start(f"{pin.location}: digests", sum(file.size for file in pin.files if file.sha256 is None))
    try:
        return replace(pin, files=tuple(_file(pin, file, reader, progress) for file in pin.files))
    finally:
        progress.finish()


def _file(pin: SourcePin, file: FilePin, reader: Reader, progress: Progress) -> FilePin:
    if file.sha256 is not None:
        return file
    local = reader.fetch(file.path)
    try:
        size, sha256 = _digested(local, progress)
    except OSError as error:
        raise SourceError(f"{pin.location}: {file.path} cannot be read: {error.strerror}.") from error
    return FilePin(file.path, size, sha256)


def _digested(file: Path, progress: Progress) -> tuple[int, str]:
    sha256, size = hashlib.sha256(), 0
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            sha256.update(chunk)
            size += len(chunk)
            progress.advance(len(chunk))
    return size, sha256.hexdigest()
