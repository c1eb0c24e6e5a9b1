"""JSON and text as the libraries read a checkpoint's files: UTF-8, and no byte-order mark before it."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

AS_UTF8 = "save it as UTF-8 without a byte-order mark"
# The longer marks first: UTF-32's begins with UTF-16's.
MARKS: Mapping[bytes, str] = MappingProxyType(
    {
        codecs.BOM_UTF8: "UTF-8",
        codecs.BOM_UTF32_LE: "UTF-32",
        codecs.BOM_UTF32_BE: "UTF-32",
        codecs.BOM_UTF16_LE: "UTF-16",
        codecs.BOM_UTF16_BE: "UTF-16",
    }
)


class NotUtf8Error(ValueError):
    """Bytes that are no plain UTF-8. The text continues the file's name: "begins with …"."""


def text_of(data: bytes) -> str:
    """The text in a file's bytes. Raises NotUtf8Error."""
    mark = next((name for mark, name in MARKS.items() if data.startswith(mark)), None)
    if mark is not None:
        raise NotUtf8Error(f"begins with a byte-order mark of {mark}, which the libraries do not read past")
    wide = json.detect_encoding(data[:4])
    if wide != "utf-8":
        raise NotUtf8Error(f"is written in {wide[:6].upper()} and not in UTF-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise NotUtf8Error(
            f"is not UTF-8: the byte 0x{data[error.start]:02x} in line {line} is no part of it"
        ) from error


def json_of(data: bytes) -> Any:
    """The JSON value in a file's bytes. Raises NotUtf8Error, and ValueError whose text continues the file's name."""
    text = text_of(data)
    if not text.strip():
        raise ValueError("is not valid JSON: it is empty")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not valid JSON: {error}") from error
