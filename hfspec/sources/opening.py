"""A spec's source, opened: pinned, with the files that its role needs chosen, and a reader for them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from hfspec.errors import SourceError
from hfspec.ir.pins import Reader, SourcePin
from hfspec.ir.progress import Progress
from hfspec.ir.spec_keys import Source
from hfspec.ir.weight_index import weight_map
from hfspec.sources import selection
from hfspec.sources.kinds import opened as opened_kind

MODULES = "modules.json"
COMPONENTS = "components/"
ADAPTER = "adapter"


def open_source(
    source: Source, role: str, base: Path, progress: Progress, *, has_modules: bool, reviewed: Collection[str] = ()
) -> tuple[SourcePin, Reader]:
    """The source, pinned, and its reader. ``base``: the folder that a relative ``path`` starts from. ``reviewed``: the
    paths of the files of code that are chosen beside those of the role, where the source has them.

    ``role`` decides what is chosen: ``components/tokenizer`` takes tokenizer files only, ``adapter`` an adapter's.
    Raises SourceError.
    """
    found = opened_kind(source.kind.key, source.location, source.revision, base, progress)
    opened = found.reader
    names = tuple(file.path for file in found.files)
    location = source.location
    if role.startswith(COMPONENTS):
        chosen = selection.select_component(role.removeprefix(COMPONENTS), names, location)
    elif role == ADAPTER:
        chosen = selection.select_adapter(names, location)
    else:
        folders = _module_folders(opened, names, location) if has_modules else ("",)
        other = MODULES in names and _has_other_modules(opened)
        shards = _shards(opened, selection.weight_indexes(names, folders))
        chosen = selection.select_model(names, location, folders, shards=shards, is_judged_later=other)
    chosen = selection.with_code(chosen, reviewed if role != ADAPTER else ())
    wanted = set(chosen.needed)
    pin = SourcePin(
        role=role,
        kind=source.kind.key,
        location=location,
        revision=source.revision,
        commit=found.commit,
        version=found.version,
        files=tuple(file for file in found.files if file.path in wanted),
        skipped=chosen.skipped,
    )
    return pin, opened


def _shards(opened: Reader, indexes: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Each index -> the paths in the source that it names. Indexes that cannot be used are left out: plan says why."""
    found = {}
    for index in indexes:
        with suppress(ValueError, RecursionError):
            paths = weight_map(json.loads(opened.small(index).read_bytes())).values()
            found[index] = tuple((PurePosixPath(index).parent / path).as_posix() for path in paths)
    return found


def _has_other_modules(opened: Reader) -> bool:
    """False for a list that cannot be read, too: who reads it says so."""
    try:
        return selection.has_other_modules(opened.small(MODULES).read_bytes())
    except (ValueError, AttributeError, TypeError, RecursionError):
        return False


def _module_folders(opened: Reader, names: tuple[str, ...], location: str) -> tuple[str, ...]:
    if MODULES not in names:
        return ("",)
    try:
        return selection.module_folders(opened.small(MODULES).read_bytes())
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"{location}: {MODULES} does not list modules as sentence-transformers does: {error}."
        ) from error
