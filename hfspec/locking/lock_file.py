"""A spec's lock on disk: ``sentiment.yaml.lock`` beside ``sentiment.yaml``."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from hfspec.errors import LockError, StorageError
from hfspec.ir.lock import Change, Lock

SUFFIX = ".lock"


def lock_path(spec: Path) -> Path:
    """Where the lock of a spec lies: the spec's file name and ``.lock``."""
    return spec.with_name(spec.name + SUFFIX)


def read_lock(spec: Path) -> Lock | None:
    """The lock of a spec, None when it has none.

    Raises LockError, naming the place, when what is there is no lock, and StorageError when it cannot be read.
    """
    file = lock_path(spec)
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror}.") from error
    return lock_in(file, data)


def lock_in(file: Path, data: bytes) -> Lock:
    """The lock that a file holds in these bytes; raises LockError, naming the place, when they are no lock."""
    try:
        return Lock.from_bytes(data)
    except ValueError as error:
        raise LockError(
            f"{file} is not a lock that this hfspec reads: {error}. Take it back from version control, or delete it and"
            f" run `hfspec lock {file.with_suffix('')}`."
        ) from error


def held_lock(spec: Path) -> Lock:
    """The lock of a spec that must have one; raises LockError."""
    lock = read_lock(spec)
    if lock is None:
        raise missing(spec)
    return lock


def missing(spec: Path) -> LockError:
    """The error for a spec without a lock."""
    file = lock_path(spec)
    text = f"{file} does not exist; write it with `hfspec lock {spec}` and commit it."
    return LockError(text, (Change("missing", str(file), text),))


def write_lock(spec: Path, lock: Lock) -> Path:
    """The lock in place, whole or not at all; a file that already says the same is left alone. Raises StorageError."""
    file, content = lock_path(spec), lock.to_bytes()
    try:
        if not (file.is_file() and file.read_bytes() == content):
            _replace(file, content)
    except OSError as error:
        raise StorageError(f"{file} cannot be written: {error.strerror}.") from error
    return file


def _replace(file: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
