"""How large a file may be that is read whole: a config, a tokenizer, a card, code."""

from __future__ import annotations

from hfspec.errors import SourceError

LARGEST = 256 << 20  # bytes; vocabularies of a million tokens have 60 MB


def check_small(where: str, path: str, size: int) -> None:
    """Refuse a file that is too large to be read whole.

    Args:
        where: The file's source, with which the message begins.
        path: The file's path in it.
        size: The file's size in bytes.

    Raises:
        SourceError: The file is too large.
    """
    if size > LARGEST:
        raise SourceError(
            f"{where}: {path} has {size} bytes, and is read whole, which is done up to {LARGEST} bytes; it cannot be"
            " what its name says. Take it out of the source or put the right file there."
        )
