"""Errors as exit codes and messages.

0 good, 1 the spec is wrong, 2 usage, 3 the world failed, 4 verification failed, 5 a lock does not hold; 6, which is no
error here, is a predictor's own: lines that cannot be answered (hfspec/runtime/command.py); 7 too many rows of a batch
failed.
"""

from __future__ import annotations

from hfspec.errors import (
    ErrorLimitError,
    HfspecError,
    LockError,
    OutOfMemoryError,
    PredictionError,
    SpecError,
    UsageError,
    VerificationError,
    WorldError,
)


class NotComparableError(SpecError):
    """A wrong spec given to diff, where 1 says that there are changes."""


SPEC_WRONG, USAGE, WORLD, VERIFICATION, LOCK, ERROR_LIMIT = 1, 2, 3, 4, 5, 7
# As a shell counts a process that SIGINT, SIGPIPE or SIGTERM ended.
INTERRUPTED, READER_LEFT, STOPPED = 130, 141, 143
_CODES: tuple[tuple[type[HfspecError], int], ...] = (
    (NotComparableError, USAGE),
    (SpecError, SPEC_WRONG),
    (UsageError, USAGE),
    (OutOfMemoryError, WORLD),
    (PredictionError, USAGE),
    (WorldError, WORLD),
    (VerificationError, VERIFICATION),
    (LockError, LOCK),
    (ErrorLimitError, ERROR_LIMIT),
)


def exit_code(error: HfspecError) -> int:
    """Choose the exit code for an error.

    Args:
        error: The error; the tree in hfspec.errors has no other branches than the table's.

    Returns:
        The exit code.
    """
    return next(code for kind, code in _CODES if isinstance(error, kind))


def message(error: HfspecError) -> str:
    """Put an error into words for stderr.

    Args:
        error: The error.

    Returns:
        The text; of a spec that is wrong, every problem with its place.
    """
    if isinstance(error, SpecError):
        from hfspec.report.problems import render

        return render(error.problems, "text")
    return f"hfspec: {error}"
