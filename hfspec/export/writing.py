"""The folder of an export: written whole beside its place, then renamed. Only an export is ever replaced."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import Any, TypeAlias

from hfspec.errors import StorageError, UsageError
from hfspec.ir.artifact import MANIFEST_NAME

RECORD = "hfspec-export.json"
Files: TypeAlias = Mapping[str, str | bytes | Path]


def write(output: Path, files: Files, record: Mapping[str, Any], *, overwrite: bool = False) -> None:
    """Write an export.

    Args:
        output: The folder to make.
        files: Path in it -> a text, bytes, or the file to copy.
        record: Its origin; it is written beside the files, with their names.
        overwrite: Whether an export that lies there is replaced.

    Raises:
        UsageError: Something lies at ``output``, and is no export or shall not be replaced.
        StorageError: For what the disk refuses; ``output`` is then as it was.
    """
    check_place(output, overwrite=overwrite)
    partial: Path | None = None
    try:
        parent = output.absolute().parent
        parent.mkdir(parents=True, exist_ok=True)
        partial = Path(mkdtemp(prefix=f".{output.name}.", dir=parent))
        new = partial / "new"
        for path, content in files.items():
            _put(new / path, content)
        _put(new / RECORD, json.dumps({**record, "files": sorted(files)}, indent=2, ensure_ascii=False) + "\n")
        if output.exists():
            output.rename(partial / "old")
        new.rename(output)
    except OSError as error:
        if partial is not None and (partial / "old").exists() and not output.exists():
            (partial / "old").rename(output)
        place = error.filename or output
        raise StorageError(f"{output} cannot be written: {error.strerror or error} ({place}).") from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def check_place(output: Path, *, overwrite: bool) -> None:
    """Raises UsageError where something lies at ``output`` that must stay."""
    if output.is_symlink():
        raise UsageError(f"{output} is a link, which hfspec does not replace; choose another --output")
    for parent in output.absolute().parents:
        if (parent / MANIFEST_NAME).exists():
            raise UsageError(
                f"{output} lies in the artifact {parent}, to which nothing may be added; choose a folder outside"
            )
    if not output.exists():
        return
    if not output.is_dir():
        raise UsageError(f"{output} is a file; choose another --output")
    present = {path.relative_to(output).as_posix() for path in output.rglob("*") if not path.is_dir()}
    if not present and overwrite:
        return
    if not overwrite:
        raise UsageError(f"{output} exists; give --overwrite to replace an export, or choose another --output")
    strangers = sorted(present - _files_of(output / RECORD))
    if strangers:
        raise UsageError(
            f"{output} holds files that hfspec did not write there, such as {strangers[0]}; move them away, or choose"
            " another --output"
        )


def _files_of(record: Path) -> set[str]:
    """The files that an export's record names; none without such a record."""
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        return {RECORD, *map(str, content["files"])} if isinstance(content, dict) else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _put(place: Path, content: str | bytes | Path) -> None:
    assert ".." not in PurePosixPath(place).parts
    place.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        shutil.copyfile(content, place)
    else:
        place.write_bytes(content.encode() if isinstance(content, str) else content)
