"""Every byte of an artifact against its manifest, before anything parses it. No torch, no pydantic."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from hfspec.errors import VerificationError
from hfspec.ir.artifact import MANIFEST_NAME, FileRecord, Manifest

CHUNK = 1 << 20
LARGEST_MANIFEST = 256 << 20
# A file changed this short a time before it was read may change again without its times showing it.
SETTLED_NS = 100_000_000


def verify_files(folder: Path, remember: Path | None = None) -> Manifest:
    """The manifest of the artifact in ``folder``, once every byte has been found to be what it says.

    ``remember``: a file that keeps which files (by device, inode, size, mtime and ctime) had which digest, so that the
    next verification need not read them; it may be missing, broken or unwritable. Raises VerificationError naming
    every file that differs, is missing, is not expected, or is a link.
    """
    manifest = read_manifest(folder)
    unsafe = _unsafe(manifest)
    if unsafe:
        raise VerificationError(f"{_where(folder)} has a manifest with unsafe paths: {'; '.join(unsafe)}.", unsafe)
    faults = dict(_strangers(folder, manifest))
    memory = _Memory.read(remember)
    for record in manifest.files:
        if record.path not in faults:
            fault = _fault(folder / record.path, record, memory)
            if fault:
                faults[record.path] = fault
    memory.write(remember)
    if faults:
        listed = "\n".join(f"  {path}: {fault}" for path, fault in sorted(faults.items()))
        raise VerificationError(
            f"{_where(folder)} is not what was compiled; compile it again or fetch it anew:\n{listed}", sorted(faults)
        )
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest, checked against its own digest; raises VerificationError when it is missing or damaged."""
    path = folder / MANIFEST_NAME
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise VerificationError(f"{MANIFEST_NAME} of {_where(folder)} is no plain file.", [MANIFEST_NAME])
        if path.stat().st_size > LARGEST_MANIFEST:
            raise VerificationError(f"{MANIFEST_NAME} of {_where(folder)} is far too large.", [MANIFEST_NAME])
        return Manifest.from_bytes(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise VerificationError(
            f"{_where(folder)} is no artifact: it has no {MANIFEST_NAME}.", [MANIFEST_NAME]
        ) from error
    except OSError as error:
        raise VerificationError(f"{path} cannot be read: {error.strerror}.", [MANIFEST_NAME]) from error
    except (ValueError, RecursionError) as error:
        raise VerificationError(f"{MANIFEST_NAME} of {_where(folder)} is damaged: {error}.", [MANIFEST_NAME]) from error


def path_fault(path: str) -> str:
    """Why a relative path cannot be that of an artifact's file; empty when it can."""
    pure = PurePosixPath(path)
    if not path or pure.is_absolute():
        return "an absolute or empty path"
    if ".." in pure.parts or pure.as_posix() != path:
        return "a path that does not lead straight down"
    if "\\" in path or ":" in path or any(ord(letter) < 32 or ord(letter) == 127 for letter in path):
        return "a character that is no part of a file's name everywhere"
    return ""


def default_memory() -> Path:
    """Where a predictor remembers what it verified: the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "hfspec" / "verified.json"


def _unsafe(manifest: Manifest) -> list[str]:
    paths = [record.path for record in manifest.files]
    faults = [path for path in paths if path_fault(path)]
    seen: set[str] = set()
    for path in (MANIFEST_NAME, *paths):
        if folded(path) in seen:
            faults.append(path)
        seen.add(folded(path))
    return faults


def folded(path: str) -> str:
    """What a path is to a file system that knows no case and one form of each letter: two that are alike are one."""
    return normalize("NFC", normalize("NFC", path).casefold())


def _strangers(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What is there and should not be: unknown files and folders, links, anything that is neither file nor folder."""
    known = {record.path for record in manifest.files} | {MANIFEST_NAME}
    folders = {parent.as_posix() for path in known for parent in PurePosixPath(path).parents}
    for path, entry in _entries(folder):
        if entry.is_symlink():
            yield path, "is a link"
        elif entry.is_dir(follow_symlinks=False):
            if path not in folders:
                yield path, "is not expected" if path not in known else "is a folder"
        elif path not in known:
            yield path, "is not expected"
        elif not entry.is_file(follow_symlinks=False):
            yield path, "is no plain file"


def _entries(folder: Path, prefix: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise VerificationError(f"{folder} cannot be read: {error.strerror}.", [prefix or "."]) from error
    for entry in found:
        path = f"{prefix}{entry.name}"
        yield path, entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(folder / entry.name, f"{path}/")


def _fault(path: Path, record: FileRecord, memory: _Memory) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            return _content_fault(file, record, memory)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _content_fault(file: FileIO, record: FileRecord, memory: _Memory) -> str:
    before = os.fstat(file.fileno())
    if before.st_size != record.size:
        return f"has {before.st_size} bytes instead of {record.size}"
    if memory.knows(before, record.sha256):
        return ""
    started = time.time_ns()
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(CHUNK))
    while count := file.readinto(buffer):
        digest.update(buffer[:count])
    if digest.hexdigest() != record.sha256:
        return "has other content"
    memory.add(before, os.fstat(file.fileno()), record.sha256, started)
    return ""


@dataclass
class _Memory:
    """Which files had which digest: ``device:inode`` -> [size, mtime, ctime, sha256]."""

    entries: dict[str, list[int | str]] = field(default_factory=dict)
    changed: bool = False

    @classmethod
    def read(cls, path: Path | None) -> _Memory:
        if path is None:
            return cls()
        try:
            with path.open("rb") as file:
                value = json.loads(file.read()) if _is_own(os.fstat(file.fileno())) else {}
        except (OSError, ValueError, RecursionError):
            return cls()
        return cls(value if isinstance(value, dict) else {})

    def knows(self, found: os.stat_result, sha256: str) -> bool:
        return self.entries.get(_key(found)) == [*_state(found), sha256]

    def add(self, before: os.stat_result, after: os.stat_result, sha256: str, started: int) -> None:
        if _state(before) == _state(after) and max(before.st_mtime_ns, before.st_ctime_ns) < started - SETTLED_NS:
            self.entries[_key(before)] = [*_state(before), sha256]
            self.changed = True

    def write(self, path: Path | None) -> None:
        """Atomically, and without a word when the place cannot be written: it is a help and not a promise."""
        if path is None or not self.changed:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
                json.dump(self.entries, file)
            Path(file.name).replace(path)
        except OSError:
            return


def _is_own(found: os.stat_result) -> bool:
    """Whether nobody else can have written the file: who could, could make a changed artifact pass."""
    if not hasattr(os, "geteuid"):
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _key(found: os.stat_result) -> str:
    return f"{found.st_dev}:{found.st_ino}"


def _state(found: os.stat_result) -> list[int]:
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _where(folder: Path) -> str:
    return f"the folder {folder}"
