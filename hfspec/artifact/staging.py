"""A folder beside the target in which an artifact is built, put in place whole or taken away without a trace.

A staging folder is locked for as long as the process that builds in it lives, so that one without a lock is known to
be the remains of a run that was killed, whatever process ids have been given anew since. One process at a time builds
for a target: it holds the lock of a file beside it, which the system takes back when the process dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from hfspec.artifact.target import check_target
from hfspec.errors import StorageError
from hfspec.ir.progress import Progress

AT_FDCWD = -100
RENAME_EXCHANGE = 2
LONGEST_NAME = 180
ENDINGS = (signal.SIGTERM, signal.SIGHUP)
NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)


@contextlib.contextmanager
def staging_folder(target: Path, progress: Progress) -> Iterator[Path]:
    """A new, empty, locked folder beside ``target``, gone when the block ends, whatever ends it.

    Another process, or thread, that builds for the target is waited for; ``progress`` is told. Folders that dead
    runs left beside the target are removed first. Raises StorageError for what the disk refuses, there and
    in the block, and UsageError when the target is something that must not be replaced.
    """
    with _terminable(), _translated(target):
        check_target(target)
        parents: list[Path] = []
        try:
            with _alone(target, parents, progress):
                _clean(target)
                with _locked_folder(target) as folder:
                    yield folder
        finally:
            for parent in parents:  # those that stayed empty
                with contextlib.suppress(OSError):
                    parent.rmdir()


def settle(folder: Path) -> None:
    """Every file and folder to the disk itself, with modes that do not depend on the umask. A hard link keeps its mode,
    which is the source's too.
    """
    for root, folders, files in os.walk(folder):
        for name in files:
            _sync(Path(root) / name, 0o644)
        for name in folders:
            (Path(root) / name).chmod(0o755)
        _sync(Path(root), 0o755)


def put_in_place(staging: Path, target: Path) -> None:
    """The staged folder at the target, in one step; the artifact that was there takes its place in staging.

    Raises UsageError when something that is no artifact has come to lie at the target, StorageError for the disk.
    """
    check_target(target)
    if not _exists(target):
        staging.rename(target)
    elif not _exchange(staging, target):
        _swap(staging, target)
    _sync(target.parent)


@contextlib.contextmanager
def _alone(target: Path, parents: list[Path], progress: Progress) -> Iterator[None]:
    """Nobody else builds for the target during the block. ``parents``: takes the folders above it that were made."""
    file = target.parent / f"{_prefix(target)}compile.lock"
    while True:
        parents += _make_parents(target.parent)
        lock = -1
        is_ours = False
        try:
            with contextlib.suppress(FileNotFoundError):  # whoever made the folder above may have taken it away again
                lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
                _wait(lock, target, progress)
                is_ours = os.path.samestat(os.fstat(lock), file.stat())  # else it was taken away by who held it before
            if is_ours:
                yield
                return
        finally:
            if is_ours:
                _unlink(file)
            if lock >= 0:
                os.close(lock)


def _wait(lock: int, target: Path, progress: Progress) -> None:
    if _lock(lock):
        return
    progress.start(f"waiting for another compile of {target}", None)
    fcntl.flock(lock, fcntl.LOCK_EX)
    progress.finish()


def _unlink(file: Path) -> None:
    """The file gone, even when a signal cuts the first attempt short."""
    try:
        file.unlink(missing_ok=True)
    except BaseException:
        file.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _locked_folder(target: Path) -> Iterator[Path]:
    while True:
        folder = target.parent / f"{_prefix(target)}{os.getpid()}-{secrets.token_hex(4)}.partial"
        lock = -1
        try:
            folder.mkdir(mode=0o755)
            lock = os.open(folder, os.O_RDONLY)
            # Another compile may have taken the folder for an abandoned one before it was locked.
            if _lock(lock) and _exists(folder):
                yield folder
                return
        finally:
            _remove(folder)
            if lock >= 0:
                os.close(lock)


def _remove(folder: Path) -> None:
    """The folder gone, even when a signal cuts the first attempt short, or when it was an artifact made read-only."""
    try:
        _remove_once(folder)
    except BaseException:
        _remove_once(folder)
        raise


def _remove_once(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if folder.is_dir():
        for place, _, _ in os.walk(folder):
            with contextlib.suppress(OSError):
                Path(place).chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)


def _clean(target: Path) -> None:
    """Remove staging folders of this target whose builders are dead."""
    for folder in target.parent.glob(f"{_literal(_prefix(target))}*.partial"):
        with contextlib.suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if _lock(lock):
                    _remove(folder)
            finally:
                os.close(lock)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _exchange(staging: Path, target: Path) -> bool:
    """Swap two folders atomically (Linux 3.15 and later); False where the system or the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(AT_FDCWD, os.fsencode(staging), AT_FDCWD, os.fsencode(target), RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(target))


def _swap(staging: Path, target: Path) -> None:
    """Without an atomic exchange there is a moment without an artifact; a failure in it brings the old one back."""
    old = staging.with_name(staging.name.removesuffix(".partial") + ".old.partial")
    target.rename(old)
    try:
        staging.rename(target)
    except BaseException:
        old.rename(target)
        raise
    _remove(old)


def _make_parents(folder: Path) -> tuple[Path, ...]:
    """The folder and its parents; returns those that were made, innermost first."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(missing)


def _sync(path: Path, mode: int | None = None) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        status = os.fstat(descriptor)
        if mode is not None and (status.st_nlink == 1 or stat.S_ISDIR(status.st_mode)):
            os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _prefix(target: Path) -> str:
    """The prefix of the names of a target's staging folders; short, since a name may have 255 bytes at most."""
    name = target.name
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f".{name}."


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


@contextlib.contextmanager
def _translated(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(_said(error, target)) from error


def _said(error: OSError, target: Path) -> str:
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"The artifact {target} does not fit on its disk ({reason}); free some space or choose another --output."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"The artifact {target} cannot be written ({reason}: {error.filename}); choose another --output."
    if error.errno == errno.EBUSY:
        return f"{target} is in use, as a mount point is ({reason}); choose a folder in it, or another --output."
    return f"The artifact {target} could not be written: {reason} ({error.filename})."


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM, and SIGHUP when the terminal closes, end the block as an exception, so that it cleans up after itself as
    Ctrl-C does. A signal that the caller ignores, as nohup does, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in ENDINGS}
    heard = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in heard:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)
