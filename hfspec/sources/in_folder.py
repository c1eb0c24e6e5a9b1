"""A folder of a source, as if it were the whole source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hfspec.ir.pins import Opened, Reader, WeightHeader
from hfspec.sources.selection import within


@dataclass(frozen=True, slots=True)
class FolderReader:
    """A reader of files by their paths from a folder."""

    reader: Reader
    paths: Mapping[str, str]
    """Path from the folder -> path in the source."""

    def small(self, path: str) -> Path:
        return self.reader.small(self.paths[path])

    def header(self, path: str) -> WeightHeader:
        return self.reader.header(self.paths[path])

    def fetch(self, path: str) -> Path:
        return self.reader.fetch(self.paths[path])


def whole(reader: Reader) -> Reader:
    """The reader of the source that a folder is in."""
    return reader.reader if isinstance(reader, FolderReader) else reader


def in_folder(opened: Opened, folder: str, where: str) -> Opened:
    """Take a folder of a source for the source.

    Args:
        opened: The source.
        folder: The folder.
        where: The source's place, with which a message begins.

    Returns:
        The files of the folder by their paths from there, and the card and licences of the source's top where the
        folder has none of that name.

    Raises:
        SourceError: When the source has no such folder.
    """
    inside = within([file.path for file in opened.files], folder, where)
    paths = {path.removeprefix(f"{folder}/"): path for path in inside}  # those of the folder come last
    pins = {file.path: file for file in opened.files}
    files = tuple(replace(pins[path], path=own) for own, path in sorted(paths.items()))
    return replace(opened, reader=FolderReader(opened.reader, paths), files=files)
