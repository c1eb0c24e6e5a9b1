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

import pyarrow as pa
from pyarrow import fs as pafs

from hfspec.batch.foreign import Foreign
from hfspec.batch.formats.table import COMPRESSED
from hfspec.errors import StorageError, UsageError, remedy

TEMPORARY = ".tmp-"
GOOGLE_SECONDS, LONGEST = "30", 400
SERVER = "check the address, the network, and the keys or region in the environment, or copy it to this machine first"
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

    @property
    def compression(self) -> str | None:
        """The compression that its name's ending says; None for a plain file."""
        return next((kind for ending, kind in COMPRESSED.items() if self.path.lower().endswith(ending)), None)

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
    """The place that a path or URL names; a URL's query, such as ``?endpoint_override=``, is for pyarrow and
    no part of the name. Raises UsageError for a URL that nothing here opens, StorageError where its server refuses.
    """
    if "://" not in text:
        return Place(pafs.LocalFileSystem(), os.path.abspath(text), text)  # noqa: PTH100 - keeps links
    name, _ = without_query(text)
    try:
        with storage(name):
            system, path = pafs.FileSystem.from_uri(_for_pyarrow(text))
    except (ValueError, NotImplementedError) as unknown:  # a scheme that pyarrow does not have, or a bad URL
        system, path = _by_fsspec(text, name, unknown)
    if isinstance(system, pafs.PyFileSystem):  # pyarrow opens hf:// by fsspec
        system = pafs.PyFileSystem(Foreign(system.handler.fs))
    return Place(system, path, name)


def _by_fsspec(text: str, name: str, unknown: Exception) -> tuple[Any, str]:
    """The filesystem and the path of a URL that pyarrow does not open, for the reason given."""
    try:
        import fsspec

        with storage(name):
            filesystem, path = fsspec.core.url_to_fs(text)
    except ImportError as error:
        raise UsageError(f"{name} needs a package that is not installed: {error}") from error
    except StorageError:
        raise
    except Exception as error:  # each filesystem has errors of its own
        raise UsageError(f"{name} cannot be opened: {unknown}; {error}; check the URL") from error
    return pafs.PyFileSystem(Foreign(filesystem)), path


def without_query(text: str) -> tuple[str, str]:
    """A URL, and its query with the question mark; a glob's question mark begins none."""
    match = re.search(r"\?\w+=", text) if "://" in text else None
    return (text, "") if match is None else (text[: match.start()], text[match.start() :])


def _for_pyarrow(text: str) -> str:
    """The URL with what pyarrow's reading of URLs passes over: the endpoint that the environment names for S3. For
    Google's store with an end to its tries, which is else after 15 minutes.
    """
    more = {}
    if text.startswith(("gs://", "gcs://")):
        more["retry_limit_seconds"] = GOOGLE_SECONDS
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if text.startswith("s3://") and endpoint and "endpoint_override=" not in text:
        scheme, _, host = endpoint.rstrip("/").rpartition("://")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        more = {"endpoint_override": host, "scheme": scheme or "https", **({"region": region} if region else {})}
    query = "&".join(f"{key}={quote(value, safe='')}" for key, value in more.items() if f"{key}=" not in text)
    return f"{text}{'&' if without_query(text)[1] else '?'}{query}" if query else text


@contextmanager
def storage(name: str, hint: str = "") -> Iterator[None]:
    """Turn a filesystem's OSError, or pyarrow's unknown error, into a StorageError that names the place.

    Args:
        name: The place, as the user wrote it.
        hint: The remedy; by default that of the error's number, or for a URL that of a server.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        if not isinstance(error, OSError) and type(error) is not pa.ArrowException:
            raise
        message = getattr(error, "strerror", None) or " ".join(str(error).split())
        cause = message if len(message) <= LONGEST else f"{message[:LONGEST]}…"
        more = hint or remedy(error) or (SERVER if "://" in name else "")
        raise StorageError(f"{name}: {cause.rstrip('.')}{f'; {more}' if more else ''}") from error


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
            out = self.at.system.open_output_stream(child.path)
            try:
                shutil.copyfileobj(stream, out, 1 << 20)
                out.close()
            except BaseException:  # to close it completes what there is of the upload, and nothing else ends it
                with suppress(OSError):
                    out.close()
                with suppress(OSError):
                    self.at.system.delete_file(child.path)
                raise

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
