"""Every error hfspec raises, as one tree.

::

    HfspecError
    ├── SpecError            the spec is wrong: carries every Problem found, each with its place
    ├── UsageError           a call that cannot be carried out as asked (arguments, not content)
    ├── WorldError           the world failed: retrying or mending it may help
    │   ├── SourceError      a hub, folder or package did not give what the spec names
    │   └── StorageError     a disk did not take or give what was asked
    ├── VerificationError    bytes differ from the manifest that vouches for them
    ├── LockError            a lock is missing, unreadable, or does not hold: the spec or the world moved
    ├── ErrorLimitError      more rows of a batch failed than it may have
    └── PredictionError      a predictor refused
        ├── ParamsError      the params given to predict or the model_config given to load
        └── RowError         one row cannot be answered: carries the row where it is known
            ├── InputError       the data given to predict
            ├── OutputError      the model answered something its signature does not allow
            └── OutOfMemoryError a row needs more memory than the device has

Nothing here knows of HTTP status codes or of exit codes: the command line maps them.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from hfspec.redaction import redacted

if TYPE_CHECKING:
    from hfspec.ir.lock import Change
    from hfspec.ir.problem import Problem

_REMEDIES: Mapping[int, str] = MappingProxyType(
    {
        errno.EMFILE: "raise the limit with `ulimit -n`, and run again",
        errno.ENOSPC: "free some space, and run again",
        errno.EDQUOT: "free some space of your quota, and run again",
        errno.EFBIG: "raise the limit with `ulimit -f`, or choose a disk that takes larger files, and run again",
        errno.EACCES: "check its permissions, and who you are",
        errno.EPERM: "check its permissions, and who you are",
        errno.EROFS: "choose a place that can be written to",
        errno.EIO: "check the disk, and run again",
        errno.ESTALE: "mount the disk anew, and run again",
    }
)


def remedy(error: Exception) -> str:
    """The remedy for an OSError, by its number; empty where none is known."""
    return _REMEDIES.get(getattr(error, "errno", None) or 0, "")


class HfspecError(Exception):
    """The base of every error of hfspec; its text is written for the person who reads it, and shows no password and no
    token.
    """

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(redacted(each) if isinstance(each, str) else each for each in arguments))


class SpecError(HfspecError):
    """The spec is wrong. ``problems`` holds every one found, never only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problem.redacted() for problem in problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UsageError(HfspecError):
    """A call that cannot be carried out as asked."""


class WorldError(HfspecError):
    """The world failed: network, hub, disk."""


class SourceError(WorldError):
    """A source did not give what the spec names."""


class StorageError(WorldError):
    """A disk refused: full, read-only, not permitted."""


class VerificationError(HfspecError):
    """Bytes differ from the manifest that vouches for them.

    ``files`` names every file that differs, is missing or is not expected, relative to the artifact.
    """

    def __init__(self, message: str, files: Sequence[str] = ()) -> None:
        self.files = tuple(files)
        super().__init__(message)


class LockError(HfspecError):
    """A lock is missing, unreadable, or does not hold. ``changes`` has everything that differs from it, where known."""

    def __init__(self, message: str, changes: Sequence[Change] = ()) -> None:
        self.changes = tuple(changes)
        super().__init__(message)


class ErrorLimitError(HfspecError):
    """More rows of a batch could not be answered than its ``max_errors`` allows."""


class PredictionError(HfspecError):
    """A predictor refused. ``key`` is the key of the request, or the setting, at fault, where one is known."""

    def __init__(self, message: str, key: str | None = None) -> None:
        self.key = None if key is None else redacted(key)
        super().__init__(message)


@contextmanager
def about(key: str) -> Iterator[None]:
    """Give the errors of a block that name no key of the request this one."""
    try:
        yield
    except PredictionError as error:
        error.key = error.key or key
        raise


class ParamsError(PredictionError):
    """The params given to predict, or the model_config given to load."""


class RowError(PredictionError):
    """One row cannot be answered. ``row`` is its place in the input, counted from 0, where known; ``reason`` the
    message without it.
    """

    def __init__(self, message: str, row: int | None = None, key: str | None = None) -> None:
        self.row = row
        self.reason = redacted(message)
        super().__init__(message if row is None else f"row {row}: {message}", key)


class InputError(RowError):
    """The data given to predict."""


class OutputError(RowError):
    """The model answered something that the signature does not allow, or what is no number."""


class OutOfMemoryError(RowError):
    """The device has too little memory for one row by itself."""
