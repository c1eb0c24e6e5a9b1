"""A source of any kind, opened."""

from __future__ import annotations

from hfspec.ir.lazy import named
from hfspec.ir.pins import Opened, SourceName
from hfspec.ir.source_kinds import SOURCE_KINDS


def open_kind(kind: str, source: SourceName) -> Opened:
    """Open a source.

    Args:
        kind: A key of ``SOURCE_KINDS``.
        source: Which source of that kind.

    Returns:
        A reader of the source, its files, and the commit or version that it is at.

    Raises:
        SourceError: The source is not there or cannot be read.
        StorageError: The disk refuses.
    """
    content: Opened = named(SOURCE_KINDS[kind].opened_by)(source)
    return content
