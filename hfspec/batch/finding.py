"""Paths, folders, globs and URLs -> the files of the input, in order."""

from __future__ import annotations

import glob
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from pyarrow import fs as pafs

from hfspec.batch.formats.table import FORMATS, format_of
from hfspec.batch.places import Place, place, storage, without_query
from hfspec.batch.spans import InputFile
from hfspec.errors import UsageError
from hfspec.ir.frozen import FrozenDict

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@contextmanager
def found_files(inputs: Sequence[str], format: str | None = None) -> Iterator[tuple[InputFile, ...]]:  # noqa: A002
    """The files that the inputs name; ``-``, standard input, is written to a temporary file first, whose identity is
    the digest of its bytes. Raises as find.
    """
    if "-" not in inputs:
        yield find(inputs, format)
        return
    if len(inputs) > 1:
        raise UsageError("- is standard input, which goes alone")
    kind = format or "jsonl"
    if kind not in FORMATS or sys.stdin is None:
        raise UsageError(f"-: {'standard input is closed' if kind in FORMATS else f'{kind} is no format of input'}")
    with tempfile.NamedTemporaryFile(prefix="hfspec-stdin-") as stream, storage("-"):
        digest = sha256()
        while block := sys.stdin.buffer.read(1 << 20):
            digest.update(block)
            stream.write(block)
        stream.flush()
        at = Place(pafs.LocalFileSystem(), stream.name, "-")
        yield (InputFile(at, kind, stream.tell(), int(digest.hexdigest()[:15], 16)),)


def find(inputs: Sequence[str], format: str | None = None) -> tuple[InputFile, ...]:  # noqa: A002
    """The files that the inputs name: a folder's files sorted by path, the inputs in the order in which they stand.

    Args:
        inputs: Files, folders, globs, URLs of any of these.
        format: The format of all files; None: by the endings of their names.

    Returns:
        The files. In a folder, files with a name that begins with ``.`` or ``_`` are left out, and where ``format`` is
        None also files with an ending that no format has.

    Raises:
        UsageError: An input that does not exist, has no files, or is of no known format.
        StorageError: The filesystem refuses.
    """
    if format is not None and format not in FORMATS:
        raise UsageError(f"--input-format {format}: expected one of {', '.join(FORMATS)}")
    files = [file for text in inputs for file in _of(text, format)]
    if not files:
        raise UsageError(f"{', '.join(inputs)}: there is no file to read")
    return tuple(files)


def _of(text: str, format: str | None) -> list[InputFile]:  # noqa: A002
    at = place(text)
    kind = at.info.type
    if kind == pafs.FileType.File:
        return [_file(at, at.info, format or _format_by_ending(at.shown))]
    if kind == pafs.FileType.Directory:
        return _below(at, format, PurePosixPath())
    if glob.has_magic(at.shown):
        return _matching(text, format)
    problem = "does not exist" if kind == pafs.FileType.NotFound else "is neither a file nor a folder"
    raise UsageError(f"{at.shown} {problem}")


def _format_by_ending(text: str) -> str:
    kind = format_of(text)
    if kind is None:
        raise UsageError(f"{text}: no format has this ending; say it with --input-format ({', '.join(FORMATS)})")
    return kind


def _below(folder: Place, format: str | None, pattern: PurePosixPath) -> list[InputFile]:  # noqa: A002
    with storage(folder.shown):
        infos = folder.system.get_file_info(pafs.FileSelector(folder.path, recursive=True))
    whole = folder.path.rstrip("/") + "/"
    names = {info.path.removeprefix(whole): info for info in infos if info.type == pafs.FileType.File}
    files = []
    for name in sorted(names):
        hidden = any(part.startswith((".", "_")) for part in name.split("/"))
        fits = not pattern.parts or _glob(str(pattern)).fullmatch(name)
        kind = format or format_of(name)
        if fits and not hidden and kind is not None:
            files.append(_file(folder.child(name), names[name], kind, name))
    if not files:
        raise UsageError(
            f"{folder.shown}/{pattern or ''}: there is no file that a format of these has: {', '.join(FORMATS)}"
        )
    return files


def _matching(text: str, format: str | None) -> list[InputFile]:  # noqa: A002
    """Files that fit a pattern below the last folder without one."""
    name, query = without_query(text)
    head, _, _ = re.split(r"([*?\[])", name, maxsplit=1)
    folder, _, _ = head.rpartition("/")
    at = place(f"{folder}{query}" if folder else ("/" if name.startswith("/") else "."))
    if at.info.type != pafs.FileType.Directory:
        raise UsageError(f"{name} does not exist")
    pattern = name[len(folder) + 1 :] if folder else name.lstrip("/")
    return _below(at, format, PurePosixPath(pattern))


def _glob(pattern: str) -> re.Pattern[str]:
    """``*`` is within a folder, ``**/`` is any folders."""
    pieces = re.split(r"(\*\*/|\*|\?|\[[^\]]+\])", pattern)
    words = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(words.get(one, one if one.startswith("[") else re.escape(one)) for one in pieces))


def _file(at: Place, info: Any, kind: str, name: str | None = None) -> InputFile:
    parts = (name or at.path).split("/")[:-1]
    values = dict(part.split("=", 1) for part in parts if re.fullmatch(r"[A-Za-z_]\w*=.*", part))
    partition = {key: None if value == NO_VALUE else unquote(value) for key, value in values.items()}
    return InputFile(at, kind, int(info.size or 0), int(info.mtime_ns or 0), FrozenDict(partition))
