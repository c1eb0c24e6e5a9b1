"""The error for a folder that a library cannot read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hfspec.errors import StorageError


@contextmanager
def reading(folder: Path, what: str) -> Iterator[None]:
    """Raises StorageError for any exception in the block, which reads ``what`` (its name) from ``folder``."""
    try:
        yield
    except Exception as error:  # over a broken file the library may raise anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StorageError(f"the {what} in {folder.name}/ could not be loaded: {reason}") from error
