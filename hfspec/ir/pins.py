"""A spec's sources as they were found: exact commits and file lists, and where small files and headers lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hfspec.ir.progress import Progress, Silent
from hfspec.ir.source_kinds import portable


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor's entry in a safetensors header. ``dtype`` is safetensors' name (F32, BF16, I64, …); ``start`` and
    ``end`` are offsets in bytes from the end of the header.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class WeightHeader:
    """The header of one safetensors file. ``length``: bytes before the data (8 for the size, then the JSON).
    ``tensors`` in order of their offsets.
    """

    length: int
    tensors: tuple[TensorInfo, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FilePin:
    """A file of a source that the deployment uses: POSIX path inside the source, size in bytes, sha256 in hex where it
    is known before the bytes are read (the hub states it for large files).
    """

    path: str
    size: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class SourcePin:
    """One source, pinned. ``role``: ``model``, ``adapter`` or ``components/<name>``; ``kind``: a key of SOURCE_KINDS;
    ``location`` and ``revision``: as written. ``commit``: of a repository; ``version``: what pins a source of another
    kind, written as its location is. ``files``: only those the task needs, sorted by path. ``skipped``: the others,
    each with the reason.
    """

    role: str
    kind: str
    location: str
    revision: str | None
    commit: str | None
    files: tuple[FilePin, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    version: str | None = None

    @property
    def pinned(self) -> str | None:
        """The commit or version that the source was found at; None where only its bytes pin it."""
        return self.commit or self.version

    @property
    def portable_location(self) -> str:
        """The location that manifests and locks state."""
        return portable(self.kind, self.location)


@dataclass(frozen=True, slots=True)
class Pins:
    """Every source of one spec, the model first."""

    sources: tuple[SourcePin, ...]

    def source(self, role: str) -> SourcePin | None:
        return next((source for source in self.sources if source.role == role), None)


class Reader(Protocol):
    """The plan's access to one source: whole small files and the headers of weights, never weights."""

    def small(self, path: str) -> Path:
        """A local file with the bytes of a file that is no weight; raises SourceError, also when it is far too large to
        be read whole.
        """

    def header(self, path: str) -> WeightHeader:
        """The header of a safetensors file; raises SourceError when it is not one."""

    def fetch(self, path: str) -> Path:
        """A local file with all the bytes of any file, downloaded when it must be; raises SourceError.

        For a repo the bytes are checked against the pinned digest by the time it returns.
        """


@dataclass(frozen=True, slots=True)
class SourceName:
    """A source as a spec or a manifest names it; each kind takes of it what it needs."""

    location: str
    """The value of the kind's key."""
    revision: str | None = None
    """The branch, tag or commit as written; None for the default, and of kinds that take none."""
    base: Path = Path()
    """The folder that a relative path starts from."""
    progress: Progress = field(default_factory=Silent, compare=False)
    """Told what is downloaded."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A source as its kind opens it: a reader, every file that it has, and the commit or version that it is at."""

    reader: Reader
    files: tuple[FilePin, ...]
    commit: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """Pins, and a reader for each role in them."""

    pins: Pins
    readers: Mapping[str, Reader]
