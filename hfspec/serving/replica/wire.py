"""The messages of the HTTP process and a replica: frames of msgpack over a socket.

A frame is its length (4 bytes, big-endian) and a list: its kind and the kind's values. Arrays travel as their bytes.
Nothing is pickled: a client's data is never more than plain values.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import msgpack
import numpy as np

from hfspec.errors import InputError
from hfspec.runtime.io.answers import Table

LENGTH = struct.Struct(">I")
MOST = 2**31 - 1  # bytes of a frame
ARRAY = 1  # msgpack's number of the type

# Kinds from the HTTP process.
CONFIG, ASK, CANCEL, STOP = "config", "ask", "cancel", "stop"
# Kinds from a replica.
READY, FAILED, ANSWER, PIECE, ERROR, BEAT = "ready", "failed", "answer", "piece", "error", "beat"


def frame(kind: str, *values: Any) -> bytes:
    """The frame; raises InputError as body does."""
    content = body(kind, *values)
    return LENGTH.pack(len(content)) + content


def body(*values: Any) -> bytes:
    """The values as bytes; raises InputError for one that is not plain, such as an integer of more than 64 bits."""
    try:
        packed: bytes = msgpack.packb(values, default=_packed, use_bin_type=True, strict_types=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"the input holds a value that cannot be passed on: {error}.") from error
    if len(packed) > MOST:
        raise InputError("the input is larger than 2 GiB; send it in parts.")
    return packed


def content(body: bytes) -> list[Any]:
    """The values in a body."""
    values: list[Any] = msgpack.unpackb(body, ext_hook=_unpacked, raw=False, strict_map_key=False)
    return values


class Frames:
    """Whole frames from bytes as they come."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[list[Any]]:
        """The frames that are whole with these bytes."""
        self._held += data
        first = 0
        while len(self._held) - first >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._held, first)
            last = first + LENGTH.size + length
            if len(self._held) < last:
                break
            with memoryview(self._held) as view:
                part = bytes(view[first + LENGTH.size : last])
            yield content(part)
            first = last
        del self._held[:first]


def _packed(value: Any) -> Any:
    if isinstance(value, Iterator):
        raise InputError("the answer would be a stream, which is not given here; leave stream out.")
    if isinstance(value, Table):
        return value.records()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            return value.tolist()
        whole = np.ascontiguousarray(value)
        head = msgpack.packb([whole.dtype.str, list(whole.shape)])
        return msgpack.ExtType(ARRAY, head + whole.tobytes())
    if hasattr(value, "to_dict"):  # a data frame
        return value.to_dict(orient="records")
    raise TypeError(f"{type(value).__name__} is not a plain value")


def _unpacked(kind: int, data: bytes) -> Any:
    if kind != ARRAY:
        return msgpack.ExtType(kind, data)
    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    dtype, shape = unpacker.unpack()
    return np.frombuffer(data, dtype=dtype, offset=unpacker.tell()).reshape(shape)
