"""Named tensors of the Open Inference Protocol: rows of tensors, and tensors of answers."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import orjson

from hfspec.ir.signature import NESTED, Column, Signature
from hfspec.ir.signature import Tensor as TensorOf
from hfspec.serving.front.errors import RequestError
from hfspec.serving.front.exchange import dumped

BYTES = "BYTES"
LENGTH = struct.Struct("<I")  # before each text of a binary tensor
NUMBERS: Mapping[str, str] = MappingProxyType(
    {
        "BOOL": "?",
        "UINT8": "<u1",
        "UINT16": "<u2",
        "UINT32": "<u4",
        "UINT64": "<u8",
        "INT8": "<i1",
        "INT16": "<i2",
        "INT32": "<i4",
        "INT64": "<i8",
        "FP16": "<f2",
        "FP32": "<f4",
        "FP64": "<f8",
    }
)
NAMES = MappingProxyType({np.dtype(code): name for name, code in NUMBERS.items()})
# A column's type, by MLflow's name -> the datatype of its tensor; others hold BYTES.
OF_COLUMNS = MappingProxyType(
    {"boolean": "BOOL", "integer": "INT32", "long": "INT64", "float": "FP32", "double": "FP64"}
)
INPUT, OUTPUT = "input", "output"  # the tensor of a side of the signature without names


@dataclass(frozen=True, slots=True)
class Described:
    """A tensor in the model's metadata. ``type``: the column's type, by MLflow's name."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    type: str = ""
    required: bool = True

    def to_json(self) -> dict[str, Any]:
        fields = {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}
        return fields if self.required else {**fields, "parameters": {"optional": True}}


@dataclass(frozen=True, slots=True)
class Given:
    """A tensor of a request or of an answer. ``values``: flat, texts as bytes in a list, numbers in an array."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Any


def inputs(signature: Signature) -> tuple[Described, ...]:
    """The input tensors of a model."""
    return _side(signature.inputs, INPUT)


def outputs(signature: Signature) -> tuple[Described, ...]:
    """The output tensors of a model."""
    return _side(signature.outputs, OUTPUT)


def _side(side: tuple[Column, ...] | TensorOf, name: str) -> tuple[Described, ...]:
    if isinstance(side, TensorOf):
        return (Described(name, _datatype(side.dtype), side.shape),)
    return tuple(
        Described(column.name or name, OF_COLUMNS.get(column.type, BYTES), (-1,), column.type, column.required)
        for column in side
    )


def _datatype(dtype: str) -> str:
    try:
        return NAMES.get(np.dtype(dtype), BYTES)
    except TypeError:
        return BYTES


def from_json(name: str, datatype: str, shape: tuple[int, ...], data: Any) -> Given:
    """The tensor whose values are in JSON, flat or nested by its shape; raises RequestError."""
    values = list(_flat(data))
    if datatype == BYTES:
        if not all(isinstance(value, str) for value in values):
            raise fault(name, "BYTES must be texts")
        values = [value.encode("utf-8") for value in values]
    return from_values(name, datatype, shape, values)


def from_values(name: str, datatype: str, shape: tuple[int, ...], values: list[Any]) -> Given:
    """The tensor of these flat values, which are bytes for the datatype BYTES; raises RequestError."""
    if datatype == BYTES:
        return Given(name, datatype, shape, _sized(name, shape, values))
    allowed = bool if datatype == "BOOL" else int | float
    if not all(isinstance(value, allowed) and isinstance(value, bool) == (allowed is bool) for value in values):
        raise fault(name, f"{datatype} must be {'true or false' if allowed is bool else 'numbers'}")
    try:
        array = np.array(values, NUMBERS[datatype])
    except (OverflowError, ValueError) as error:
        raise fault(name, f"its values are not {datatype}") from error
    if array.dtype.kind in "iu" and any(value != number for value, number in zip(values, array.tolist(), strict=True)):
        raise fault(name, f"its values are not {datatype}")
    return Given(name, datatype, shape, _sized(name, shape, array))


def from_bytes(name: str, datatype: str, shape: tuple[int, ...], data: bytes) -> Given:
    """The tensor whose values follow the request's head; raises RequestError."""
    if datatype == BYTES:
        return Given(name, datatype, shape, _sized(name, shape, _texts(name, data)))
    dtype = np.dtype(NUMBERS[datatype])
    if len(data) % dtype.itemsize:
        raise fault(name, f"{len(data)} bytes are no whole number of {datatype}")
    return Given(name, datatype, shape, _sized(name, shape, np.frombuffer(data, dtype)))


def to_bytes(tensor: Given) -> bytes:
    """The values in the form of the binary extension."""
    if tensor.datatype == BYTES:
        return b"".join(LENGTH.pack(len(value)) + value for value in tensor.values)
    return np.ascontiguousarray(tensor.values, NUMBERS[tensor.datatype]).tobytes()


def to_json(tensor: Given) -> list[Any]:
    """The values in the form of JSON."""
    if tensor.datatype == BYTES:
        return [value.decode("utf-8", "replace") for value in tensor.values]
    return list(np.asarray(tensor.values).ravel().tolist())


def rows(tensors: Sequence[Given], described: Sequence[Described]) -> list[dict[str, Any]]:
    """The rows; each tensor holds a column of them. Raises RequestError."""
    by_name = {tensor.name: tensor for tensor in described}
    counts = {}
    columns: dict[str, list[Any]] = {}
    for tensor in tensors:
        if tensor.name not in by_name:
            raise fault(tensor.name, f"the model's inputs are: {', '.join(by_name)}")
        if tensor.name in columns:
            raise fault(tensor.name, "it is given twice")
        if len(tensor.shape) != 1 and tensor.shape[1:] != (1,):
            raise fault(tensor.name, f"its shape must be [rows] or [rows, 1], not {list(tensor.shape)}")
        columns[tensor.name] = _cells(tensor, by_name[tensor.name])
        counts[tensor.name] = tensor.shape[0]
    if len(set(counts.values())) > 1:
        raise RequestError(400, f"the inputs must be of one number of rows; they have: {counts}.", "InputError")
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _cells(tensor: Given, described: Described) -> list[Any]:
    """The tensor's values as predict takes the column's."""
    if tensor.datatype != BYTES:
        return list(np.asarray(tensor.values).tolist())
    if described.type == "binary":
        return list(tensor.values)
    try:
        texts = [value.decode("utf-8") for value in tensor.values]
    except UnicodeDecodeError as error:
        raise fault(tensor.name, "its texts must be in UTF-8") from error
    return [_structure(text) for text in texts] if described.type in {"any", *NESTED} else texts


def _structure(text: str) -> Any:
    """The object or list in a text of JSON; any other text as it is."""
    if text.lstrip()[:1] not in {"{", "["}:
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def content(tensor: Given, described: Sequence[Described]) -> Given:
    """The tensor from JSON, with files' contents in place of their base64 text; raises RequestError."""
    if tensor.datatype != BYTES or not any(one.name == tensor.name and one.type == "binary" for one in described):
        return tensor
    try:
        values = [base64.b64decode(value, validate=True) for value in tensor.values]
    except binascii.Error as error:
        raise fault(tensor.name, "in JSON it must be base64 text of the files") from error
    return Given(tensor.name, tensor.datatype, tensor.shape, values)


def of_answer(answer: Any, described: Sequence[Described]) -> list[Given]:
    """The tensors of predict's answer; raises RequestError where no tensor can hold it."""
    items: Any = [answer] if isinstance(answer, Mapping | str) else answer
    if len(described) == 1 and not _is_table(items, described):
        return [_column(described[0], items)]
    return [_column(one, [item.get(one.name) for item in items]) for one in described]


def full_answer(answer: Any) -> list[Given]:
    """The answer's full form: a text of JSON a row."""
    items = answer if isinstance(answer, list) else [answer]
    return [Given(OUTPUT, BYTES, (len(items),), [dumped(item) for item in items])]


def _is_table(items: Any, described: Sequence[Described]) -> bool:
    return (
        isinstance(items, list)
        and bool(items)
        and described[0].name != OUTPUT
        and all(isinstance(item, Mapping) and described[0].name in item for item in items)
    )


def _column(described: Described, items: Any) -> Given:
    name, datatype = described.name, described.datatype
    if datatype == BYTES:
        values = [item.encode("utf-8", "replace") if isinstance(item, str) else dumped(item) for item in items]
        return Given(name, datatype, (len(values),), values)
    empty = [math.nan if item is None else item for item in items] if isinstance(items, list) else items
    try:
        array = np.asarray(empty, NUMBERS[datatype])
    except (ValueError, TypeError) as error:
        message = "the rows' answers differ in shape, so that no tensor can hold them; ask for one row at a time."
        raise RequestError(400, message, "OutputError") from error
    if not array.size and len(described.shape) > 1:
        array = array.reshape(0, *(max(size, 0) for size in described.shape[1:]))
    return Given(name, datatype, array.shape, array)


def _texts(name: str, data: bytes) -> list[bytes]:
    texts, first = [], 0
    while first < len(data):
        if first + LENGTH.size > len(data):
            raise fault(name, "its bytes end within a length")
        (length,) = LENGTH.unpack_from(data, first)
        first += LENGTH.size
        if first + length > len(data):
            raise fault(name, "its bytes end within a text")
        texts.append(data[first : first + length])
        first += length
    return texts


def _flat(data: Any) -> Iterable[Any]:
    """The values of lists in lists; without recursion, however deep they are."""
    waiting = [iter([data])]
    while waiting:
        for value in waiting[-1]:
            if isinstance(value, list):
                waiting.append(iter(value))
                break
            yield value
        else:
            waiting.pop()


def _sized(name: str, shape: tuple[int, ...], values: Any) -> Any:
    if math.prod(shape) != len(values):
        raise fault(name, f"its shape {list(shape)} has {math.prod(shape)} values, and {len(values)} are given")
    return values


def fault(name: str, why: str) -> RequestError:
    """The error of an input."""
    return RequestError(400, f"input {name!r}: {why}.", "InputError")
