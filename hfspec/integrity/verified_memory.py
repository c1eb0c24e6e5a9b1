"""Which files had which digest, remembered from one verification to the next, so that the next need not read them.

A file is known by device, inode, size, mtime and ctime. No program sets a ctime: whoever writes to a file, or puts
another in its place, leaves another one, whatever mtime is put back.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

# Device, inode, size in bytes, mtime and ctime in nanoseconds.
State = tuple[int, int, int, int, int]
MOST_ENTRIES = 5000
LARGEST_MEMORY = 16 << 20
# A file changed this short a time before it was read may change again without its times showing it.
SETTLED_NS = 100_000_000
NO_SURPRISES = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def state_of(status: os.stat_result) -> State:
    """The values that tell a file from another, and from itself once it was written to."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def is_young(state: State, moment: int) -> bool:
    """Tell whether a file changed so recently that a later change may not show in its times.

    Args:
        state: The file's state.
        moment: The moment to look from, in ns.

    Returns:
        Whether it did.
    """
    return state[4] > moment - SETTLED_NS


def default_memory() -> Path | None:
    """Where a predictor remembers what it verified: the user's cache folder; None for a user without a home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if Path(base).is_absolute():
        return Path(base) / "hfspec" / "verified.json"
    try:
        return Path.home() / ".cache" / "hfspec" / "verified.json"
    except RuntimeError:
        return None


@dataclass
class Memory:
    """``entries``: ``device:inode`` -> [size, mtime, ctime, sha256], those used last at the end. It is a help and not
    a promise: what cannot be read, or what others may have written, is no memory, and what cannot be written is lost.
    """

    path: Path | None
    entries: dict[str, list[int | str]] = field(default_factory=dict)
    is_changed: bool = False

    @classmethod
    def read(cls, path: Path | None) -> Memory:
        """Read what was remembered.

        Args:
            path: The file; None: nothing is remembered.

        Returns:
            The memory; empty where the file is missing, broken or open to others.
        """
        return cls(path, read_own(path) if path else {})

    def digest(self, status: os.stat_result) -> str | None:
        """Recall the digest of a file.

        Args:
            status: What the system says of the file.

        Returns:
            The sha256 in hex; None when it is not known.
        """
        key, entry = _entry(status, "")
        value = self.entries.get(key)
        is_known = isinstance(value, list) and value[:-1] == entry[:-1]
        return str(value[-1]) if value and is_known else None

    def knows(self, status: os.stat_result, sha256: str) -> bool:
        """Tell whether a file had a digest; one that did is forgotten later than others.

        Args:
            status: What the system says of the file.
            sha256: A digest in hex.

        Returns:
            Whether it is remembered as the file's.
        """
        key, entry = _entry(status, sha256)
        if self.entries.get(key) != entry:
            return False
        self.entries[key] = self.entries.pop(key)
        return True

    def add(self, status: os.stat_result, sha256: str, start: int) -> None:
        """Remember the digest of a file, unless it is so young that a change may not show.

        Args:
            status: What the system says of the file, both before and after it was read.
            sha256: Its digest in hex.
            start: When reading began, in ns.
        """
        if not is_young(state_of(status), start):
            key, entry = _entry(status, sha256)
            self.entries.pop(key, None)
            self.entries[key] = entry
            self.is_changed = True

    def write(self) -> None:
        """Atomically, with what others have remembered meanwhile; the oldest beyond MOST_ENTRIES are forgotten."""
        if self.path is None or not self.is_changed:
            return
        entries = {
            **{key: entry for key, entry in read_own(self.path).items() if key not in self.entries},
            **self.entries,
        }
        newest = dict(islice(entries.items(), max(0, len(entries) - MOST_ENTRIES), None))
        write_own(self.path, newest)


def _entry(status: os.stat_result, sha256: str) -> tuple[str, list[int | str]]:
    device, inode, *rest = state_of(status)
    return f"{device}:{inode}", [*rest, sha256]


def read_own(path: Path) -> dict[str, Any]:
    """Read the JSON object in a file that nobody else can have written.

    Args:
        path: The file.

    Returns:
        The object; empty when there is none.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | NO_SURPRISES), "rb") as file:
            status = os.fstat(file.fileno())
            if not _is_own(status) or not stat.S_ISREG(status.st_mode) or not _is_own(path.parent.stat()):
                return {}
            value = json.loads(file.read(LARGEST_MEMORY))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_own(status: os.stat_result) -> bool:
    """Whether nobody else can have written it: who could, could make a changed artifact pass."""
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def write_own(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON for read_own. Nothing is said where it cannot be written.

    Args:
        path: The file.
        value: The JSON value.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(path, json.dumps(value).encode())
    except OSError:
        return


def _replace(path: Path, content: bytes) -> None:
    """A new file, readable by its owner only, in the old one's place; nothing is left of one that did not fit."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
