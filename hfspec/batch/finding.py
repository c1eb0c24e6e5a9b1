"""Paths, folders, globs and URLs -> the files of the input, in order."""

from __future__ import annotations

import glob
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path, PurePosixPath
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
def found_files(
    inputs: Sequence[str],
    format: str | None = None,  # noqa: A002
    output: str | None = None,
) -> Iterator[tuple[InputFile, ...]]:
    """The files that the inputs name, but for those in the folder of the output; ``-``, standard input, is written to a
    temporary file first, whose identity is the digest of its bytes. Raises as find.
    """
    if "-" not in inputs:
        yield _outside(find(inputs, format), output)
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
        if not stream.tell():
            raise UsageError(
                "-: standard input is empty; pipe rows into it, a JSON object a line unless told otherwise"
            )
        stream.flush()
        at = Place(pafs.LocalFileSystem(), stream.name, "-")
        yield (InputFile(at, kind, stream.tell(), int(digest.hexdigest()[:15], 16)),)


def _outside(files: tuple[InputFile, ...], output: str | None) -> tuple[InputFile, ...]:
    """The files that do not lie in the output, which may itself lie in a folder of the input: what a job has written
    would else be read by the run that goes on with it. Raises UsageError where none is left.
    """
    if output is None:
        return files
    folder = place(output)
    whole = _real(folder).rstrip("/") + "/"
    outside = tuple(
        file for file in files if file.place.system != folder.system or not _real(file.place).startswith(whole)
    )
    if not outside:
        raise UsageError(f"{folder.shown}: all files of the input lie in this folder; choose another --output")
    return outside


def _real(at: Place) -> str:
    """Its path, on this machine without links."""
    return os.path.realpath(at.path) if at.is_local else at.path


def check_format(name: str) -> None:
    """Raises UsageError where there is no format of this name."""
    if name not in FORMATS:
        raise UsageError(f"--input-format {name}: expected one of {', '.join(FORMATS)}")


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
    if format is not None:
        check_format(format)
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
    if folder.is_local:
        _check_links(folder, [info.path for info in infos if info.type == pafs.FileType.Directory])
    fitting = [name for name in sorted(names) if not any(one.startswith((".", "_")) for one in name.split("/"))]
    where = folder.shown
    if pattern.parts:
        where, glob_pattern = f"{folder.shown}/{pattern}", _glob(str(pattern))
        fitting = [name for name in fitting if glob_pattern.fullmatch(name)]
        if not fitting:
            raise UsageError(f"{where}: there is no file that fits this pattern")
    kinds = [(name, format or format_of(name)) for name in fitting]
    files = [_file(folder.child(name), names[name], kind, name) for name, kind in kinds if kind is not None]
    if not files:
        raise UsageError(
            f"{where}: there is no file that a format of these has: {', '.join(FORMATS)}; say it with --input-format"
        )
    return files


def _check_links(folder: Place, folders: list[str]) -> None:
    """Raises UsageError for a link to a folder around it, whose files would be read again and again."""
    for path in filter(os.path.islink, folders):
        target = os.path.realpath(path)
        if Path(os.path.realpath(Path(path).parent)).is_relative_to(target):
            shown = folder.shown + path.removeprefix(folder.path)
            raise UsageError(f"{shown} is a link to {target}, a folder around it; take it away")


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
    try:
        return re.compile("".join(words.get(one, _of_class(one)) for one in pieces))
    except re.error as error:
        raise UsageError(f"{pattern}: this glob cannot be read: {error.msg}") from error


def _of_class(piece: str) -> str:
    """A class of letters, such as ``[0-9]`` or ``[!a]``, or plain text, as a regular expression."""
    is_class = piece.startswith("[") and piece.endswith("]")
    return f"[^{piece[2:]}" if is_class and piece[1] == "!" else piece if is_class else re.escape(piece)


def _file(at: Place, info: Any, kind: str, name: str | None = None) -> InputFile:
    parts = (name or at.path).split("/")[:-1]
    values = dict(part.split("=", 1) for part in parts if re.fullmatch(r"[A-Za-z_]\w*=.*", part))
    partition = {key: None if value == NO_VALUE else unquote(value) for key, value in values.items()}
    return InputFile(at, kind, int(info.size or 0), int(info.mtime_ns or 0), FrozenDict(partition))
