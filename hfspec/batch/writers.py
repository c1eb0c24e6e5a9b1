"""The formats of output: a file of rows that come table by table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from hfspec.runtime.io.answers import to_json


class Writer(Protocol):
    """A file that is being written."""

    def write(self, table: pa.Table) -> None:
        """Add rows."""

    def close(self) -> None:
        """Write what ends the file; the stream stays open."""


class ParquetFile:
    """A row group for each table. Lists of fixed size are plain lists there: Parquet has no others, and pyarrow to
    version 25 writes one that is null and cannot read it (apache/arrow#35692).
    """

    def __init__(self, stream: IO[bytes], schema: pa.Schema) -> None:
        self._schema = pa.schema([field.with_type(_without_sizes(field.type)) for field in schema])
        self._writer = pq.ParquetWriter(stream, self._schema, compression="zstd")

    def write(self, table: pa.Table) -> None:
        if table.num_rows:
            self._writer.write_table(table.cast(self._schema))

    def close(self) -> None:
        self._writer.close()


class ArrowFile:
    """A record batch for each table."""

    def __init__(self, stream: IO[bytes], schema: pa.Schema) -> None:
        self._writer = ipc.new_file(stream, schema)

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table.combine_chunks())

    def close(self) -> None:
        self._writer.close()


class LinesFile:
    """A JSON object a line; bytes as base64, nan and infinities as null."""

    def __init__(self, stream: IO[bytes], schema: pa.Schema) -> None:  # noqa: ARG002
        self._stream = stream

    def write(self, table: pa.Table) -> None:
        for row in table.to_pylist():
            line = json.dumps(to_json(row), ensure_ascii=False, allow_nan=False, default=_text)
            self._stream.write(line.encode() + b"\n")

    def close(self) -> None:
        """Nothing ends such a file."""


class CommasFile:
    """CSV with a first line of names; lists and structs as JSON."""

    def __init__(self, stream: IO[bytes], schema: pa.Schema) -> None:
        self._stream = stream
        self._put([[*schema.names]])

    def write(self, table: pa.Table) -> None:
        self._put([[_cell(value) for value in row.values()] for row in table.to_pylist()])

    def _put(self, rows: list[list[Any]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._stream.write(text.getvalue().encode("utf-8", "surrogatepass"))

    def close(self) -> None:
        """Nothing ends such a file."""


def _without_sizes(kind: Any) -> Any:
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind):
        return pa.list_(_without_sizes(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_sizes(field.type)) for field in kind])
    return kind


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, list | dict | bytes | bool):
        return json.dumps(to_json(value), ensure_ascii=False, allow_nan=False, default=_text)
    return value


def _text(value: Any) -> str:
    """What JSON has no form for: bytes as base64, times and decimals as text."""
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    return str(value)


# Format -> what writes it, and the ending of its files' names.
WRITERS: Mapping[str, tuple[Callable[[IO[bytes], pa.Schema], Writer], str]] = MappingProxyType(
    {
        "parquet": (ParquetFile, ".parquet"),
        "jsonl": (LinesFile, ".jsonl"),
        "csv": (CommasFile, ".csv"),
        "arrow": (ArrowFile, ".arrow"),
    }
)
