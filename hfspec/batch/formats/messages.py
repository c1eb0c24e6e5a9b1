"""The messages of Arrow's IPC formats: where record batches lie and how many rows they have, by their headers alone.

The layout is that of Arrow's columnar format ("Encapsulated message format") and of its ``Message.fbs`` and
``File.fbs``, which are flatbuffers.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

MAGIC = b"ARROW1"  # begins and ends the file format, not the stream format
CONTINUATION, END = b"\xff\xff\xff\xff", b"\0\0\0\0"
DICTIONARY, BATCH = 2, 3
HEADER_BYTES = 1 << 16  # read at a time: a message is seldom shorter than its header


@dataclass(frozen=True, slots=True)
class Message:
    """A message from the byte ``start`` to the byte ``stop``. ``rows``: of a record batch; ``dictionary``: the number
    of a dictionary, which the message begins anew unless ``is_delta``.
    """

    kind: int
    start: int
    stop: int
    rows: int = 0
    dictionary: int = 0
    is_delta: bool = False


def of_stream(file: Any, size: int) -> Iterator[Message]:
    """The messages of a file of ``size`` bytes in the stream format; raises ArrowInvalid where one is damaged."""
    at = 0
    with _buffered(file) as stream:
        while at < size and (message := _message(stream, at, size)) is not None:
            yield message
            at = message.stop


def batches_of_file(file: Any, size: int) -> Iterator[Message]:
    """The record batches that the end of a file in the file format lists; raises ArrowInvalid."""
    with _buffered(file) as stream:
        end = size - len(MAGIC) - 4
        stream.seek(end)
        (length,) = struct.unpack("<i", stream.read(4))
        stream.seek(end - length)
        footer = stream.read(length)
        at = _linked(footer, _field(footer, _linked(footer, 0), 3))
        (count,) = struct.unpack_from("<I", footer, at)
        for (offset,) in struct.iter_unpack("<q16x", footer[at + 4 : at + 4 + 24 * count]):
            message = _message(stream, offset, size)
            if message is None or message.kind != BATCH:
                raise pa.ArrowInvalid(f"there is no record batch at byte {offset}")
            yield message


@contextmanager
def _buffered(file: Any) -> Iterator[io.BufferedReader]:
    stream = io.BufferedReader(file, HEADER_BYTES)
    try:
        yield stream
    finally:
        stream.detach()  # it would else close the file


def dictionaries(messages: Iterator[Message], before: int) -> list[Message]:
    """The dictionaries that hold at the byte ``before``, in order."""
    found: dict[int, list[Message]] = {}
    for message in messages:
        if message.start >= before:
            break
        if message.kind == DICTIONARY:
            earlier = found.get(message.dictionary, []) if message.is_delta else []
            found[message.dictionary] = [*earlier, message]
    return sorted((each for several in found.values() for each in several), key=lambda each: each.start)


def _message(stream: Any, start: int, size: int) -> Message | None:
    """The message at a byte; None for the mark that ends a stream."""
    stream.seek(start)
    length = stream.read(4)
    begin = start + 4
    if length == CONTINUATION:  # files of Arrow before 0.15 have none
        length, begin = stream.read(4), start + 8
    if length == END:
        return None
    try:
        (count,) = struct.unpack("<i", length)
        data = stream.read(count) if 0 < count <= size - begin else b""
        message = _parsed(data, start, begin + count)
    except (struct.error, IndexError) as error:
        raise pa.ArrowInvalid(f"there is no message at byte {start}") from error
    if message.rows < 0 or not begin < message.stop <= size:
        raise pa.ArrowInvalid(f"the message at byte {start} goes on beyond the file's end")
    return message


def _parsed(data: bytes, start: int, body: int) -> Message:
    """The message whose header is ``data``, and whose body begins at the byte ``body``."""
    table = _linked(data, 0)
    kind = _number("<B", data, _field(data, table, 1))
    stop = body + _number("<q", data, _field(data, table, 3))
    header = _linked(data, _field(data, table, 2))
    if kind == BATCH:
        return Message(kind, start, stop, rows=_number("<q", data, _field(data, header, 0)))
    if kind == DICTIONARY:
        number = _number("<q", data, _field(data, header, 0))
        return Message(
            kind, start, stop, dictionary=number, is_delta=bool(_number("<B", data, _field(data, header, 2)))
        )
    return Message(kind, start, stop)


def _linked(data: bytes, at: int) -> int:
    """The place that the offset at this place leads to."""
    return at + int(struct.unpack_from("<I", data, at)[0])


def _field(data: bytes, table: int, number: int) -> int:
    """The place of a table's field; 0 where it is left out and has its default."""
    form = table - struct.unpack_from("<i", data, table)[0]
    (size,) = struct.unpack_from("<H", data, form)
    offset = struct.unpack_from("<H", data, form + 4 + 2 * number)[0] if 4 + 2 * number < size else 0
    return table + offset if offset else 0


def _number(form: str, data: bytes, at: int) -> int:
    return int(struct.unpack_from(form, data, at)[0]) if at else 0
