"""A spec's source, opened: pinned, with the files that its role needs role_files, and a reader for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeAlias

from hfspec.ir.pins import Reader, SourceName, SourcePin
from hfspec.ir.progress import Progress
from hfspec.ir.spec_keys import Source
from hfspec.sources import selection
from hfspec.sources.in_folder import in_folder
from hfspec.sources.kinds import open_kind

COMPONENTS = "components/"
ADAPTER = "adapter"
# Selects from the paths in a source, its reader and its location.
Layout: TypeAlias = Callable[[Sequence[str], Reader, str], selection.Selection]


def open_source(
    source: Source,
    role: str,
    base: Path,
    progress: Progress,
    *,
    select: Layout,
    folder: str | None = None,
    reviewed: Collection[str] = (),
) -> tuple[SourcePin, Reader]:
    """Pin a source and choose the files of its role.

    Args:
        source: The source as the spec has it.
        role: ``model``, ``adapter``, of which an adapter's files are taken, or ``components/tokenizer``, of which only
            a tokenizer's are.
        base: The folder that a relative ``path`` starts from.
        progress: Told of what is downloaded.
        select: Which files are the model's, as its library has it.
        folder: The folder that is taken for the whole source; None for the source itself.
        reviewed: Paths of the files of code that are taken too, where the source has them.

    Returns:
        The source, pinned, and its reader.

    Raises:
        SourceError: The source is not there, or lacks the files of its role.
        StorageError: The disk refuses.
    """
    content = open_kind(source.kind.key, SourceName(source.location, source.revision, base, progress))
    location = source.location
    if folder is not None:
        content, location = in_folder(content, folder, location), f"{location}/{folder}"
    reader = content.reader
    names = tuple(file.path for file in content.files)
    if role.startswith(COMPONENTS):
        role_files = selection.select_component(role.removeprefix(COMPONENTS), names, location)
    elif role == ADAPTER:
        role_files = selection.select_adapter(names, location)
    else:
        role_files = select(names, reader, location)
    role_files = selection.with_code(role_files, reviewed if role != ADAPTER else ())
    paths = set(role_files.needed)
    pin = SourcePin(
        role=role,
        kind=source.kind.key,
        location=source.location,
        revision=source.revision,
        commit=content.commit,
        version=content.version,
        files=tuple(file for file in content.files if file.path in paths),
        skipped=role_files.skipped,
    )
    return pin, reader
