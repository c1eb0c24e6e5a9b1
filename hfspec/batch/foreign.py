"""Filesystems of fsspec for pyarrow: whatever their libraries raise comes out as an OSError that says it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
from pyarrow import fs as pafs

ABSENT = (404, 410)  # of HTTP


@dataclass(frozen=True)
class Guarded:
    """An fsspec filesystem or one of its open files."""

    inner: Any

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self.inner, name)
        return partial(_called, value) if callable(value) else value


class Foreign(pafs.FSSpecHandler):  # type: ignore[misc]  # pyarrow has no types
    """An fsspec filesystem. Unlike pyarrow's handler it takes no file for absent whose server refused or was away."""

    def __init__(self, filesystem: Any) -> None:
        super().__init__(Guarded(filesystem))

    def open_input_stream(self, path: str) -> Any:
        return self.open_input_file(path)

    def open_input_file(self, path: str) -> Any:
        return pa.PythonFile(Guarded(self.fs.open(path, mode="rb")), mode="r")

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        return pa.PythonFile(Guarded(self.fs.open(path, mode="wb")), mode="w")


def _called(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    try:
        return call(*arguments, **options)
    except FileNotFoundError as error:
        cause = error.__cause__
        if cause is None or not _is_refusal(cause):
            raise
        raise OSError(_text(cause)) from error
    except OSError:
        raise
    except Exception as error:
        raise OSError(_text(error)) from error


def _is_refusal(cause: BaseException) -> bool:
    """Whether fsspec's HTTP filesystem says that there is no file, though the server did not."""
    if isinstance(cause, ConnectionError | TimeoutError):
        return True
    return type(cause).__module__.startswith("aiohttp") and getattr(cause, "status", None) not in ABSENT


def _text(error: BaseException) -> str:
    status, message = getattr(error, "status", None), getattr(error, "message", "")
    if status is not None:
        return f"the server answers {status} {message}".rstrip()
    if isinstance(error, TimeoutError):
        return "there was no answer in time"
    if any(words in str(error) for words in ("range requests", "Cannot seek")):  # of fsspec's HTTP filesystem
        return "the server gives whole files alone, and this one is to be read in pieces"
    return " ".join(str(error).split()) or type(error).__name__
