"""A checkpoint folder on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from hfspec.errors import SourceError
from hfspec.ir.pins import FilePin, Opened, SourceName, WeightHeader
from hfspec.ir.safetensors_header import header_length, parse_header
from hfspec.sources.hub_cache import COMMIT
from hfspec.sources.small import check_small

# Device, inode, size in bytes, mtime in ns.
State = tuple[int, int, int, int]


class NoSuchFolderError(SourceError):
    """There is no folder where the spec names one."""


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A folder and its files; a Reader. ``name`` is what the spec calls it. ``states``: what each file was when the
    folder was opened; one that has changed since is refused. Made by open_folder.
    """

    name: str
    folder: Path
    files: tuple[FilePin, ...]
    states: Mapping[str, State]

    def small(self, path: str) -> Path:
        file = self.fetch(path)
        check_small(self.name, path, self.states[path][2])
        return file

    def header(self, path: str) -> WeightHeader:
        try:
            return read_header(self.fetch(path))
        except ValueError as error:
            raise unsound(self.name, path, error) from error
        except OSError as error:
            raise SourceError(f"{self.name}: {path} cannot be read: {error.strerror}.") from error

    def fetch(self, path: str) -> Path:
        if path not in self.states:
            raise SourceError(f"{self.name} has no file {path}.")
        file = self.folder / path
        if not file.exists() or _state(file.stat()) != self.states[path]:
            raise SourceError(f"{self.name}: {path} was changed while it was being compiled; compile again.")
        if not os.access(file, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
            raise SourceError(f"{self.name}: {path} may not be read; check its permissions.")
        return file


def unsound(location: str, path: str, error: ValueError) -> SourceError:
    """Make the error for weights whose header cannot be read.

    Args:
        location: The source, as messages name it.
        path: The file in it.
        error: What is wrong with its header.

    Returns:
        The error.
    """
    return SourceError(f"{location}: {path} is not a sound safetensors file: {error}.")


def read_header(file: Path) -> WeightHeader:
    """Read the header of a safetensors file on disk.

    Args:
        file: The file.

    Returns:
        The header.

    Raises:
        ValueError: The file is no safetensors file.
        OSError: The file cannot be read.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        prefix = stream.read(8)
        return parse_header(prefix + stream.read(header_length(prefix, size) - 8), size)


def open_source(source: SourceName) -> Opened:
    """Open the folder that a spec names, from ``base`` on.

    Args:
        source: The source, as the spec names it.

    Returns:
        The opened source.

    Raises:
        NoSuchFolderError: There is no such folder.
        SourceError: The folder cannot be read, or a link in it leads out of it.
    """
    folder = open_folder(source.location, source.base / Path(source.location).expanduser())
    return Opened(folder, folder.files)


def open_folder(name: str, folder: Path) -> FolderSource:
    """Open a folder with every file in it.

    Args:
        name: The folder as the spec calls it, for messages.
        folder: The folder.

    Returns:
        The source.

    Raises:
        NoSuchFolderError: There is no such folder.
        SourceError: The folder cannot be read, or a link in it leads out of it.
    """
    if not folder.is_dir():
        raise NoSuchFolderError(missing_folder(name, folder))
    root = _root(folder)
    try:
        stats = {path: (folder / path).stat() for path in sorted(_walk(name, folder, root))}
    except OSError as error:
        raise SourceError(f"{error.filename} cannot be read: {error.strerror}; check its permissions.") from error
    files = tuple(FilePin(path, stat.st_size) for path, stat in stats.items())
    return FolderSource(name, folder, files, {path: _state(stat) for path, stat in stats.items()})


def _state(stat: os.stat_result) -> State:
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _root(folder: Path) -> Path:
    """Where links may lead: inside the folder, or inside the repository for a snapshot in the hub's cache, whose
    files are links to the blobs beside it.
    """
    target = folder.resolve()
    is_snapshot = COMMIT.fullmatch(target.name) and target.parent.name == "snapshots"
    return target.parent.parent if is_snapshot else target


def _walk(name: str, folder: Path, root: Path) -> Iterator[str]:
    for place, subfolders, files in os.walk(folder, onerror=_raise):
        subfolders[:] = sorted(sub for sub in subfolders if sub not in (".git", ".cache", "__pycache__"))
        for file in [*subfolders, *files]:
            path = Path(place, file)
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink():
                _check_link(name, relative, path, root)
            if file in files:
                yield relative


def _raise(error: OSError) -> None:
    raise error


def _check_link(name: str, relative: str, path: Path, root: Path) -> None:
    if not path.exists():
        raise SourceError(f"{name}: {relative} is a link to something that does not exist.")
    if not path.resolve().is_relative_to(root):
        raise SourceError(
            f"{name}: {relative} is a link that leads out of the folder; put the file itself there, so that what is"
            " deployed is what the folder holds."
        )


def missing_folder(name: str, folder: Path) -> str:
    """Say why a folder cannot be opened.

    Args:
        name: The folder as the spec calls it.
        folder: The folder.

    Returns:
        The message, with the nearest name beside it.
    """
    if folder.exists():
        return f"{name} is a file, not a folder: name the folder that holds config.json and the weights."
    place = str(folder.absolute())
    text = f"{name} does not exist." if name == place else f"{name} does not exist (looked for {place})."
    siblings = [path.name for path in folder.parent.iterdir() if path.is_dir()] if folder.parent.is_dir() else []
    nearest = get_close_matches(folder.name, siblings, n=1)
    return f"{text} Did you mean {nearest[0]!r}, which is beside it?" if nearest else text
