"""Which parts of a batch an error is of, where a library fails at the whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from hfspec.runtime.scheduling import memory

Part = TypeVar("Part")
Result = TypeVar("Result")


def isolated(
    parts: Sequence[Part], work: Callable[[Sequence[Part]], Result], passes: tuple[type[Exception], ...] = ()
) -> tuple[list[tuple[Sequence[Part], Result]], list[tuple[Part, Exception]]]:
    """Do the work for all parts together; where it fails, for halves of them, down to the parts that fail alone.

    Args:
        parts: The parts, one or more.
        work: Does the work for some of them, and may be called again for fewer after it has failed.
        passes: Errors that are of no part. Memory that has run out is of none either.

    Returns:
        The parts that were done together, each time with their result, and the parts that failed with their errors.

    Raises:
        Exception: An error that is of no part.
    """
    try:
        return [(parts, work(parts))], []
    except Exception as error:
        if isinstance(error, passes) or memory.is_exhausted(error):
            raise
        if len(parts) == 1:
            return [], [(parts[0], error)]
    middle = len(parts) // 2
    first, second = isolated(parts[:middle], work, passes), isolated(parts[middle:], work, passes)
    return [*first[0], *second[0]], [*first[1], *second[1]]
