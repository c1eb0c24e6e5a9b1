"""A spec's source, opened: pinned, with the files that its role needs role_files, and a reader for them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from hfspec.errors import SourceError
from hfspec.ir.pins import Reader, SourceName, SourcePin
from hfspec.ir.progress import Progress
from hfspec.ir.spec_keys import Source
from hfspec.ir.weight_index import weight_map
from hfspec.sources import selection
from hfspec.sources.kinds import open_kind

MODULES = "modules.json"
COMPONENTS = "components/"
ADAPTER = "adapter"


def open_source(
    source: Source, role: str, base: Path, progress: Progress, *, has_modules: bool, reviewed: Collection[str] = ()
) -> tuple[SourcePin, Reader]:
    """Pin a source and choose the files of its role.

    Args:
        source: The source as the spec has it.
        role: ``model``, ``adapter``, of which an adapter's files are taken, or ``components/tokenizer``, of which only
            a tokenizer's are.
        has_modules: Whether the library keeps a model in the folders of its modules.
        base: The folder that a relative ``path`` starts from.
        progress: Told of what is downloaded.
        reviewed: Paths of the files of code that are taken too, where the source has them.

    Returns:
        The source, pinned, and its reader.

    Raises:
        SourceError: The source is not there, or lacks the files of its role.
        StorageError: The disk refuses.
    """
    opened = open_kind(source.kind.key, SourceName(source.location, source.revision, base, progress))
    reader = opened.reader
    names = tuple(file.path for file in opened.files)
    location = source.location
    if role.startswith(COMPONENTS):
        role_files = selection.select_component(role.removeprefix(COMPONENTS), names, location)
    elif role == ADAPTER:
        role_files = selection.select_adapter(names, location)
    else:
        folders = _module_folders(reader, names, location) if has_modules else ("",)
        other = MODULES in names and _has_other_modules(reader)
        shards = _shards(reader, selection.weight_indexes(names, folders))
        role_files = selection.select_model(names, location, folders, shards=shards, is_judged_later=other)
    role_files = selection.with_code(role_files, reviewed if role != ADAPTER else ())
    wanted = set(role_files.needed)
    pin = SourcePin(
        role=role,
        kind=source.kind.key,
        location=location,
        revision=source.revision,
        commit=opened.commit,
        version=opened.version,
        files=tuple(file for file in opened.files if file.path in wanted),
        skipped=role_files.skipped,
    )
    return pin, reader


def _shards(reader: Reader, indexes: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Each index -> the paths in the source that it names. Indexes that cannot be used are left out: plan says why."""
    paths_by_index = {}
    for index in indexes:
        with suppress(ValueError, RecursionError):
            paths = weight_map(json.loads(reader.small(index).read_bytes())).values()
            paths_by_index[index] = tuple((PurePosixPath(index).parent / path).as_posix() for path in paths)
    return paths_by_index


def _has_other_modules(reader: Reader) -> bool:
    """False for a list that cannot be read, too: who reads it says so."""
    try:
        return selection.has_other_modules(reader.small(MODULES).read_bytes())
    except (ValueError, AttributeError, TypeError, RecursionError):
        return False


def _module_folders(reader: Reader, names: tuple[str, ...], location: str) -> tuple[str, ...]:
    if MODULES not in names:
        return ("",)
    try:
        return selection.module_folders(reader.small(MODULES).read_bytes())
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"{location}: {MODULES} does not list modules as sentence-transformers does: {error}."
        ) from error
