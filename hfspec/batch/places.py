"""Where rows come from and go to: a folder of this machine, or a URL that pyarrow or fsspec opens, as ``s3://``."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from pyarrow import fs as pafs

from hfspec.errors import StorageError, UsageError

TEMPORARY = ".tmp-"
WITHOUT_FOLDERS = ("s3", "gcs", "abfs")  # as pyarrow names them: a file needs none around it


@dataclass(frozen=True)
class Place:
    """A path on a filesystem. ``shown``: as the user wrote it."""

    system: Any
    path: str
    shown: str

    @property
    def is_local(self) -> bool:
        return isinstance(self.system, pafs.LocalFileSystem)

    def __reduce__(self) -> tuple[type[Place], tuple[Any, str, str]]:
        return Place, (self.system, self.path, self.shown)

    def child(self, name: str) -> Place:
        """The place of this name in the folder."""
        return Place(self.system, f"{self.path.rstrip('/')}/{name}", f"{self.shown.rstrip('/')}/{name}")

    @cached_property
    def info(self) -> Any:
        """Its type, size and time of last change, from pyarrow."""
        with storage(self.shown):
            return self.system.get_file_info(self.path)

    def open(self) -> Any:
        """The file, to be read at any position; raises StorageError."""
        with storage(self.shown):
            return self.system.open_input_file(self.path)


def place(text: str) -> Place:
    """The place that a path or URL names; raises UsageError for a URL that nothing here opens. A URL's query, such as
    ``?endpoint_override=``, is for pyarrow; it is no part of the name.
    """
    if "://" not in text:
        return Place(pafs.LocalFileSystem(), os.path.abspath(text), text)  # noqa: PTH100 - keeps links
    name, _ = without_query(text)
    try:
        system, path = pafs.FileSystem.from_uri(_at_endpoint(text))
    except (ValueError, OSError) as first:
        try:
            import fsspec

            filesystem, path = fsspec.core.url_to_fs(text)
        except (ImportError, ValueError, OSError) as error:
            raise UsageError(f"{name} cannot be opened: {first}; {error}") from error
        system = pafs.PyFileSystem(pafs.FSSpecHandler(filesystem))
    return Place(system, path, name)


def without_query(text: str) -> tuple[str, str]:
    """A URL, and its query with the question mark; a glob's question mark begins none."""
    match = re.search(r"\?\w+=", text) if "://" in text else None
    return (text, "") if match is None else (text[: match.start()], text[match.start() :])


def _at_endpoint(text: str) -> str:
    """The URL with the endpoint that the environment names for S3, which pyarrow's reading of URLs passes over."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not text.startswith("s3://") or not endpoint or "endpoint_override=" in text:
        return text
    scheme, _, host = endpoint.rstrip("/").rpartition("://")
    query = f"endpoint_override={quote(host, safe='')}&scheme={scheme or 'https'}"
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    more = f"&region={region}" if region and "region=" not in text else ""
    return f"{text}{'&' if without_query(text)[1] else '?'}{query}{more}"


@contextmanager
def storage(name: str) -> Iterator[None]:
    """Turn a filesystem's OSError into a StorageError that names the place."""
    try:
        yield
    except OSError as error:
        message = error.strerror or " ".join(str(error).split())
        raise StorageError(f"{name}: {message}") from error


class Folder:
    """The folder that a job writes. A file appears in it whole or not at all."""

    def __init__(self, at: Place) -> None:
        self.at = at

    def names(self, under: str = "") -> list[str]:
        """The names of all files below, sorted; without the temporary ones."""
        base = self.at.child(under) if under else self.at
        with storage(base.shown):
            infos = self.at.system.get_file_info(pafs.FileSelector(base.path, recursive=True, allow_not_found=True))
        whole = base.path.rstrip("/") + "/"
        names = [info.path.removeprefix(whole) for info in infos if info.type == pafs.FileType.File]
        return sorted(name for name in names if TEMPORARY not in name)

    def read(self, name: str) -> bytes | None:
        """The file's bytes; None where there is none."""
        child = self.at.child(name)
        with storage(child.shown):
            if self.at.system.get_file_info(child.path).type != pafs.FileType.File:
                return None
            with self.at.system.open_input_stream(child.path) as stream:
                data: bytes = stream.read()
                return data

    def put(self, name: str, write: Callable[[IO[bytes]], None]) -> None:
        """Write a file: on disk first under a unique name, then in one step in its place.

        Raises StorageError.
        """
        child = self.at.child(name)
        with storage(child.shown):
            if self.at.is_local:
                self._put_local(Path(child.path), write)
            else:
                self._put_remote(child, write)

    def _put_local(self, path: Path, write: Callable[[IO[bytes]], None]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}-{path.name}")
        try:
            with temporary.open("wb") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(path.parent)

    def _put_remote(self, child: Place, write: Callable[[IO[bytes]], None]) -> None:
        with tempfile.TemporaryFile() as stream:
            write(stream)
            stream.seek(0)
            if self.at.system.type_name not in WITHOUT_FOLDERS:
                self.at.system.create_dir(child.path.rpartition("/")[0], recursive=True)
            with self.at.system.open_output_stream(child.path) as out:
                shutil.copyfileobj(stream, out, 1 << 20)

    def remove(self, names: list[str]) -> None:
        """Remove these files; raises StorageError."""
        for name in names:
            child = self.at.child(name)
            with storage(child.shown):
                self.at.system.delete_file(child.path)

    def remove_folder(self, name: str) -> None:
        """Remove an empty folder, or an object store's marker of one; raises StorageError."""
        child = self.at.child(name)
        with storage(child.shown):
            if self.at.system.get_file_info(child.path).type == pafs.FileType.Directory:
                self.at.system.delete_dir(child.path)

    def sweep(self) -> None:
        """Remove the temporary files of runs that were killed."""
        if self.at.is_local:
            for path in Path(self.at.path).rglob(f"{TEMPORARY}*"):
                with suppress(OSError):
                    path.unlink()


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
