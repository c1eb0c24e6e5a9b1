"""Files written and digested in one pass."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hfspec.errors import SourceError
from hfspec.ir.artifact import FileRecord
from hfspec.ir.plan import CopyFile
from hfspec.ir.progress import Progress

CHUNK = 4 << 20


class DigestingFile:
    """A new file whose sha256 is computed, in a second thread, while its bytes are written."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb", buffering=0)
        self._digest = hashlib.sha256()
        self._thread = ThreadPoolExecutor(max_workers=1)
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        self._file.close()

    def write(self, data: Any) -> None:
        """Append any bytes-like; it may be reused as soon as this returns. Raises OSError."""
        view = memoryview(data).cast("B")
        digested = self._thread.submit(self._digest.update, view)
        try:
            count = 0
            while count < len(view):
                count += self._file.write(view[count:])
        finally:
            digested.result()
        self.size += len(view)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def write_bytes(name: str, content: bytes, target: Path) -> FileRecord:
    """A small file; raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        file.write(content)
    return FileRecord(name, len(content), hashlib.sha256(content).hexdigest())


def write_copy(step: CopyFile, source: Path, target: Path, progress: Progress) -> FileRecord:
    """A copy of ``source``, which must have the size and digest that were pinned.

    Raises SourceError when it has not or cannot be read, OSError when the target cannot be written.
    """
    with DigestingFile(target) as file:
        copy_range(source, 0, step.size + 1, file.write, progress)
        return _pinned(step, file.size, file.sha256)


def write_shared(step: CopyFile, target: Path, progress: Progress) -> FileRecord:
    """The record of a file whose bytes are in ``target`` already, as those of a copy; raises SourceError likewise."""
    digest, size = hashlib.sha256(), 0

    def take(data: Any) -> None:
        nonlocal size
        digest.update(data)
        size += len(data)

    copy_range(target, 0, step.size + 1, take, progress)
    return _pinned(step, size, digest.hexdigest())


def _pinned(step: CopyFile, size: int, sha256: str) -> FileRecord:
    if size != step.size or step.sha256 not in (None, sha256):
        raise SourceError(
            f"{step.path} of {step.role} is not the file that was pinned"
            f" ({size} bytes, sha256 {sha256}); compile again."
        )
    return FileRecord(step.target, size, sha256)


def copy_range(source: Path, start: int, end: int, write: Callable[[Any], None], progress: Progress) -> None:
    """The bytes from ``start`` to ``end`` of a file, or to its end; raises SourceError when it cannot be read."""
    buffer = memoryview(bytearray(min(CHUNK, max(end - start, 1))))
    try:
        file = source.open("rb", buffering=0)
    except OSError as error:
        raise SourceError(f"{source} cannot be read: {error.strerror}.") from error
    with file:
        file.seek(start)
        position = start
        while position < end:
            count = _fill(file, source, buffer[: end - position])
            if not count:
                break
            write(buffer[:count])
            progress.advance(count)
            position += count


def _fill(file: FileIO, source: Path, buffer: memoryview) -> int:
    """As many bytes as there are, up to the buffer's length: some file systems give less at a time."""
    filled = 0
    try:
        while filled < len(buffer) and (count := file.readinto(buffer[filled:])):
            filled += count
    except OSError as error:
        raise SourceError(f"{source} cannot be read: {error.strerror}.") from error
    return filled
