"""Weight files that share their bytes with the source's instead of being copied, with their digests taken anyway."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

from hfspec.artifact.writing import write_copy, write_shared
from hfspec.errors import StorageError
from hfspec.ir.artifact import FileRecord
from hfspec.ir.plan import CopyFile
from hfspec.ir.progress import Progress

Link: TypeAlias = Literal["copy", "hardlink", "reflink"]
LINKS: tuple[Link, ...] = ("copy", "hardlink", "reflink")
Writer: TypeAlias = Callable[[CopyFile, Path, Path, Progress], FileRecord]
# From linux/fs.h: the target shares the source's extents until one of them is written to (btrfs, XFS, bcachefs).
FICLONE = 0x40049409
WHY = {
    errno.EXDEV: "they lie on different file systems",
    errno.EPERM: "the system does not allow it for this file",
    errno.EMLINK: "the file has as many links as it may have",
}


def linked(link: Link) -> Writer:
    """The writer that puts a step's file in place. It raises SourceError as write_copy does, and StorageError, saying
    what to do instead, where the file system cannot link.
    """
    if link == "copy":
        return write_copy
    share = _hardlink if link == "hardlink" else _reflink

    def write(step: CopyFile, source: Path, target: Path, progress: Progress) -> FileRecord:
        real = source.resolve()
        try:
            share(real, target)
        except OSError as error:
            reason = WHY.get(error.errno or 0, f"the file system cannot ({error.strerror})")
            raise StorageError(
                f"{step.path} of {step.role} cannot be put into the artifact as a {link}: {reason}. Use --link copy."
            ) from error
        return write_shared(step, target, progress)

    return write


def _hardlink(source: Path, target: Path) -> None:
    os.link(source, target)


def _reflink(source: Path, target: Path) -> None:
    with source.open("rb") as file, target.open("xb") as copy:
        fcntl.ioctl(copy.fileno(), FICLONE, file.fileno())
