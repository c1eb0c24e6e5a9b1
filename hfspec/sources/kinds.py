"""A source of any kind, opened."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from hfspec.ir.pins import Opened
from hfspec.ir.progress import Progress
from hfspec.ir.source_kinds import SOURCE_KINDS


def open_kind(kind: str, location: str, revision: str | None, base: Path, progress: Progress) -> Opened:
    """Open a source.

    Args:
        kind: A key of ``SOURCE_KINDS``.
        location: The value of that key in the spec.
        revision: The branch, tag or commit as written; None where the kind takes none, and for the default.
        base: The folder that a relative path starts from.
        progress: Told what is downloaded.

    Returns:
        A reader of the source, its files, and the commit or version that it is at.

    Raises:
        SourceError: The source is not there or cannot be read.
        StorageError: The disk refuses.
    """
    module, _, name = SOURCE_KINDS[kind].opened_by.partition(":")
    source: Opened = getattr(import_module(module), name)(location, revision, base, progress)
    return source
