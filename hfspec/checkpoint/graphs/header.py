"""The header of an ONNX graph: its inputs, outputs, operators and tensors, without one byte of its weights.

The file is a protobuf message (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) of nested, length-prefixed
fields; the reader steps over those that nobody needs.
"""

from __future__ import annotations

import math
import mmap
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

DTYPES = {
    1: ("float32", 4),
    2: ("uint8", 1),
    3: ("int8", 1),
    6: ("int32", 4),
    7: ("int64", 8),
    9: ("bool", 1),
    10: ("float16", 2),
    11: ("float64", 8),
    16: ("bfloat16", 2),
}
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
WIDTHS = {FIXED64: 8, FIXED32: 4}
SENTENCE = "sentence_embedding"  # the output with vectors of whole texts, as sentence-transformers names it
LFS = b"version https://git-lfs"
OUTSIDE = 1  # data_location of a tensor whose bytes are in another file
DIGITS = 19  # of the largest offset that a file system knows


class Value(NamedTuple):
    """An input or output of the graph. ``shape``: None for a size that is not fixed."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class External:
    """A tensor's bytes in a file beside the graph."""

    tensor: str
    location: str
    end: int
    """How long the file must be at least."""


@dataclass(frozen=True, slots=True)
class Graph:
    """The facts of a graph's header."""

    ir_version: int
    opsets: dict[str, int]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    operators: Counter[str]
    bits: Counter[int]
    """How many products of quantised weights there are of each number of bits."""
    external: tuple[External, ...]
    elements: int
    """The number of elements of all weights, as they are stored."""
    longest: int
    """The rows of the longest matrix, which is the table of tokens where there is one."""


class _Part(NamedTuple):
    """A message's bytes, by their places in the file."""

    data: memoryview
    start: int
    end: int

    def fields(self) -> Iterator[tuple[int, int | _Part]]:
        """Each field's number with its value; raises ValueError where the bytes are no message."""
        place = self.start
        while place < self.end:
            key, place = self._varint(place)
            number, wire = key >> 3, key & 7
            if wire == VARINT:
                value, place = self._varint(place)
                yield number, value
                continue
            size, place = self._varint(place) if wire == LENGTH else (WIDTHS.get(wire, -1), place)
            if size < 0 or number == 0:
                raise ValueError(f"is no ONNX graph: byte {place} begins no field")
            if place + size > self.end:
                raise ValueError(f"is cut short: a field at byte {place} has {size} bytes, {self.end - place} are left")
            yield number, _Part(self.data, place, place + size)
            place += size

    def text(self) -> str:
        return str(self.data[self.start : self.end], "utf-8", "replace")

    def numbers(self) -> Iterator[int]:
        """The numbers of a packed field."""
        place = self.start
        while place < self.end:
            number, place = self._varint(place)
            yield number

    def _varint(self, place: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if place >= self.end:
                raise ValueError(f"is cut short at byte {place}")
            byte = self.data[place]
            place += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, place
        raise ValueError(f"is no ONNX graph: byte {place} ends no number")


def read_graph(path: Path) -> Graph:
    """The header of the graph in a file; raises ValueError, whose words follow the file's name, where it has none."""
    if path.stat().st_size == 0:
        raise ValueError("is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        if mapped[: len(LFS)] == LFS:
            raise ValueError("is a pointer of Git LFS, and not the graph that `git lfs pull` puts in its place")
        view = memoryview(mapped)
        try:
            return _graph(_Part(view, 0, len(view)))
        finally:
            view.release()


def _graph(model: _Part) -> Graph:
    top = list(model.fields())
    opsets = dict(_opset(value) for number, value in top if number == 8 and isinstance(value, _Part))
    body = next((value for number, value in top if number == 7 and isinstance(value, _Part)), None)
    if body is None:
        raise ValueError("is no ONNX graph: it has no graph in it")
    parts = [(number, value) for number, value in body.fields() if isinstance(value, _Part)]
    tensors = [_tensor(value) for number, value in parts if number == 5]
    nodes = [_node(value) for number, value in parts if number == 1]
    return Graph(
        ir_version=next((value for number, value in top if number == 1 and isinstance(value, int)), 0),
        opsets=opsets,
        inputs=tuple(_value(value) for number, value in parts if number == 11),
        outputs=tuple(_value(value) for number, value in parts if number == 12),
        operators=Counter(name for name, _ in nodes),
        bits=Counter(bits for _, bits in nodes if bits),
        external=tuple(external for external, _ in tensors if external is not None),
        elements=sum(math.prod(shape) for _, shape in tensors),
        longest=max((shape[0] for _, shape in tensors if len(shape) == 2), default=0),
    )


def _opset(part: _Part) -> tuple[str, int]:
    domain, version = "", 0
    for number, value in part.fields():
        if number == 1 and isinstance(value, _Part):
            domain = value.text()
        elif number == 2 and isinstance(value, int):
            version = value
    return domain, version


def _node(part: _Part) -> tuple[str, int]:
    """The operator, and how many bits its weights have where they are quantised."""
    name, bits = "", 0
    for number, value in part.fields():
        if number == 4 and isinstance(value, _Part):
            name = value.text()
        elif number == 5 and isinstance(value, _Part):
            fields = list(value.fields())
            is_bits = any(key == 1 and isinstance(item, _Part) and item.text() == "bits" for key, item in fields)
            bits = next((item for key, item in fields if key == 3 and isinstance(item, int)), 0) if is_bits else bits
    return name, bits


def _tensor(part: _Part) -> tuple[External | None, tuple[int, ...]]:
    """Where the tensor's bytes are, None where they are in the graph, and its shape."""
    name, width, is_outside = "", 0, False
    entries: dict[str, str] = {}
    shape: tuple[int, ...] = ()
    for number, value in part.fields():
        if number == 1:
            shape += tuple(value.numbers()) if isinstance(value, _Part) else (value,)
        elif number == 2 and isinstance(value, int):
            width = DTYPES.get(value, ("", 0))[1]
        elif number == 8 and isinstance(value, _Part):
            name = value.text()
        elif number == 13 and isinstance(value, _Part):
            texts = {key: field.text() for key, field in value.fields() if isinstance(field, _Part)}
            entries[texts.get(1, "")] = texts.get(2, "")
        elif number == 14:
            is_outside = value == OUTSIDE
    if not is_outside and "location" not in entries:
        return None, shape
    return _external(name, entries, math.prod(shape) * width), shape


def _external(tensor: str, entries: Mapping[str, str], size: int) -> External:
    """A tensor's place beside the graph; ``size``: its bytes by its shape, 0 where the dtype's width is not known."""
    place = f"keeps the weights {tensor!r} outside of it"
    location = entries.get("location", "")
    parts = location.replace("\\", "/").split("/")
    if parts[0][1:2] == ":" or not set(parts).isdisjoint({"", ".", ".."}):
        raise ValueError(f"{place} in {location[:100]!r}, which is not the relative path of a file beside the graph")
    for key in ("offset", "length"):
        if key in entries and not (entries[key].isascii() and entries[key].isdigit() and len(entries[key]) <= DIGITS):
            raise ValueError(f"{place}, at the {key} {entries[key][:30]!r}, which is not a number of bytes")
    length = int(entries.get("length", size))
    if size and length != size:
        raise ValueError(f"{place}, in {length} bytes, and their shape and dtype take {size}")
    return External(tensor, location, int(entries.get("offset", 0)) + length)


def _value(part: _Part) -> Value:
    name, dtype, shape = "", "", []
    for number, value in part.fields():
        if number == 1 and isinstance(value, _Part):
            name = value.text()
        elif number == 2 and isinstance(value, _Part):
            tensor = next((item for key, item in value.fields() if key == 1 and isinstance(item, _Part)), None)
            for key, item in tensor.fields() if tensor is not None else ():
                if key == 1 and isinstance(item, int):
                    dtype = DTYPES.get(item, (str(item), 1))[0]
                elif key == 2 and isinstance(item, _Part):
                    shape = [_size(field) for _, field in item.fields() if isinstance(field, _Part)]
    return Value(name, dtype, tuple(shape))


def _size(part: _Part) -> int | None:
    return next((value for number, value in part.fields() if number == 1 and isinstance(value, int)), None)
