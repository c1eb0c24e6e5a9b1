"""The protocol's messages as classes of protobuf, made from open_inference.proto.

Python's protobuf reads no .proto file, and nobody can review the output of protoc. This reads as much of the language
as that file has: messages, fields, maps, enums and oneofs.
"""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FILE = Path(__file__).with_name("open_inference.proto")
PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
TOKEN = re.compile(r'"[^"]*"|[\w.]+|[^\w\s]')
Field = descriptor_pb2.FieldDescriptorProto
SCALARS = {
    name: getattr(Field, f"TYPE_{name.upper()}")
    for name in ("bool", "int32", "int64", "uint32", "uint64", "float", "double", "string", "bytes")
}


def read(path: Path = FILE) -> dict[str, Any]:
    """The classes of the messages in a .proto file, by name."""
    file = descriptor(path.read_text(encoding="utf-8"), path.name)
    pool = descriptor_pool.DescriptorPool()  # its own pool: another package of the process may have these names
    pool.Add(file)
    descriptors = (pool.FindMessageTypeByName(f"{PACKAGE}.{message.name}") for message in file.message_type)
    return {message.name: message_factory.GetMessageClass(message) for message in descriptors}


def descriptor(text: str, name: str) -> Any:
    """The file as protobuf describes it."""
    tokens = deque(TOKEN.findall(re.sub(r"//.*", "", text)))
    file = descriptor_pb2.FileDescriptorProto(name=name, package=PACKAGE, syntax="proto3")
    enums: set[str] = set()
    while tokens:
        kind = tokens.popleft()
        if kind == "message":
            _message(tokens, file.message_type.add(), f".{PACKAGE}", enums)
        elif kind == "enum":
            enums.add(_enum(tokens, file.enum_type.add()))
        elif kind == "service":
            _skip(tokens)
    return file


def _message(tokens: deque[str], message: Any, parent: str, enums: set[str]) -> None:
    message.name = tokens.popleft()
    place = f"{parent}.{message.name}"
    tokens.popleft()  # {
    is_in_oneof = False
    while (word := tokens.popleft()) != "}" or is_in_oneof:
        if word == "message":
            _message(tokens, message.nested_type.add(), place, enums)
        elif word == "oneof":
            message.oneof_decl.add(name=tokens.popleft())
            is_in_oneof = tokens.popleft() == "{"
        elif word == "}":
            is_in_oneof = False
        else:
            field = message.field.add(label=Field.LABEL_OPTIONAL)
            if is_in_oneof:
                field.oneof_index = 0
            _field(tokens, word, field, message, enums)


def _field(tokens: deque[str], word: str, field: Any, message: Any, enums: set[str]) -> None:
    """A field, which begins with ``word``: ``repeated``, ``map`` or its type."""
    value = ""
    if word in {"repeated", "map"}:
        field.label = Field.LABEL_REPEATED
    if word == "map":
        _, _, _, value, _ = (tokens.popleft() for _ in range(5))  # < string , value >
    elif word == "repeated":
        word = tokens.popleft()
    field.name, _, number, _ = (tokens.popleft() for _ in range(4))  # name = number ;
    field.number = int(number)
    if value:
        word = "".join(part.capitalize() for part in field.name.split("_")) + "Entry"
        entry = message.nested_type.add(name=word)
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=Field.LABEL_OPTIONAL, type=Field.TYPE_STRING)
        _type(entry.field.add(name="value", number=2, label=Field.LABEL_OPTIONAL), value, enums)
    _type(field, word, enums)


def _type(field: Any, name: str, enums: set[str]) -> None:
    """Give the field its type; protobuf looks for a message of this name from the inside out."""
    if name in SCALARS:
        field.type = SCALARS[name]
    else:
        field.type = Field.TYPE_ENUM if name in enums else Field.TYPE_MESSAGE
        field.type_name = name


def _enum(tokens: deque[str], enum: Any) -> str:
    enum.name = tokens.popleft()
    tokens.popleft()  # {
    while (name := tokens.popleft()) != "}":
        _, number, _ = (tokens.popleft() for _ in range(3))  # = number ;
        enum.value.add(name=name, number=int(number))
    return str(enum.name)


def _skip(tokens: deque[str]) -> None:
    """Drop a block."""
    depth = 0
    while True:
        depth += {"{": 1, "}": -1}.get(word := tokens.popleft(), 0)
        if word == "}" and not depth:
            return
