"""The formats of output: a file of rows that come table by table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from hfspec.batch.types import without_dictionaries, without_sizes
from hfspec.errors import UsageError
from hfspec.runtime.io.answers import to_json


class Writer(Protocol):
    """A file that is being written."""

    def write(self, table: pa.Table) -> None:
        """Add rows."""

    def close(self) -> None:
        """Write what ends the file; the stream stays open."""


class ParquetFile:
    """A row group for each table. Lists of fixed size are plain lists there. Floats have no dictionary: hardly two of
    them are equal in an embedding, and looking for such took a third of the time.
    """

    def __init__(self, stream: IO[bytes], schema: pa.Schema) -> None:
        self._schema = without_sizes(schema)
        names = [name for field in self._schema for name in _with_dictionary(field.name, field.type)]
        self._writer = pq.ParquetWriter(stream, self._schema, compression="zstd", use_dictionary=names or False)

    def write(self, table: pa.Table) -> None:
        if table.num_rows:
            self._writer.write_table(table.cast(self._schema))

    def close(self) -> None:
        self._writer.close()


def _with_dictionary(path: str, kind: pa.DataType) -> Iterator[str]:
    """The paths, as Parquet has them, of the values in a column that are no floats."""
    if pa.types.is_struct(kind):
        for field in kind:
            yield from _with_dictionary(f"{path}.{field.name}", field.type)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _with_dictionary(f"{path}.list.element", kind.value_type)
    elif not pa.types.is_floating(kind):
        yield path


class ArrowFile:
    """A record batch for each table. Dictionaries are plain values there."""

    def __init__(self, stream: IO[bytes], schema: pa.Schema) -> None:
        self._schema = without_dictionaries(schema)
        self._writer = ipc.new_file(stream, self._schema)

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table.cast(self._schema).combine_chunks())

    def close(self) -> None:
        self._writer.close()


class LinesFile:
    """A JSON object a line; bytes as base64, nan and infinities as null."""

    def __init__(self, stream: IO[bytes], schema: pa.Schema) -> None:
        self._stream = stream

    def write(self, table: pa.Table) -> None:
        for row in rows_of(table):
            line = json.dumps(to_json(row), ensure_ascii=False, allow_nan=False, default=_text)
            self._stream.write(line.encode() + b"\n")

    def close(self) -> None:
        """Do nothing: such a file has no end mark."""


class CommasFile:
    """CSV with a first line of names; lists and structs as JSON."""

    def __init__(self, stream: IO[bytes], schema: pa.Schema) -> None:
        self._stream = stream
        self._put([[*schema.names]])

    def write(self, table: pa.Table) -> None:
        self._put([[_cell(value) for value in row.values()] for row in rows_of(table)])

    def _put(self, rows: list[list[Any]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._stream.write(text.getvalue().encode("utf-8", "surrogatepass"))

    def close(self) -> None:
        """Do nothing: such a file has no end mark."""


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as Python values; a value that Python cannot hold, such as a date of the year 12000 or bytes in a text
    that are not UTF-8, becomes text.
    """
    columns = [_values(column) for column in table.columns]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: pa.ChunkedArray) -> list[Any]:
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):
        return [_python_value(cell) for cell in column]


def _python_value(cell: pa.Scalar) -> Any:
    try:
        return cell.as_py()
    except UnicodeDecodeError:
        return cell.as_buffer().to_pybytes().decode("utf-8", "replace") if hasattr(cell, "as_buffer") else None
    except (ValueError, OverflowError):
        return str(cell.cast(pa.string()))


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, list | dict | bytes | bool):
        return json.dumps(to_json(value), ensure_ascii=False, allow_nan=False, default=_text)
    return value


def _text(value: Any) -> str:
    """A value that JSON has no form for, as text: bytes as base64, times and decimals as Python shows them."""
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    return str(value)


# Format -> its writer, and the ending of its files' names.
WRITERS: Mapping[str, tuple[Callable[[IO[bytes], pa.Schema], Writer], str]] = MappingProxyType(
    {
        "parquet": (ParquetFile, ".parquet"),
        "jsonl": (LinesFile, ".jsonl"),
        "csv": (CommasFile, ".csv"),
        "arrow": (ArrowFile, ".arrow"),
    }
)


def check(name: str, schema: pa.Schema) -> None:
    """Raises UsageError where a format has no form for a column."""
    writer, _ = WRITERS[name]
    for field in schema:
        try:
            writer(io.BytesIO(), pa.schema([field])).close()
        except pa.ArrowNotImplementedError as error:
            raise UsageError(
                f"--format {name}: the column {field.name} is {field.type}, for which it has no form; leave it out by"
                " --keep, or choose another format"
            ) from error
