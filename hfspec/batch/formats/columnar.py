"""Parquet and Arrow files: row groups and record batches."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import ipc

from hfspec.batch.places import storage
from hfspec.batch.spans import CHUNK_BYTES, CHUNK_ROWS, Chunk, InputFile, Sizes, Span
from hfspec.errors import StorageError, UsageError


class Parquet:
    """A span is a row group, or rows of a large one. Row groups whose statistics say that no row fits are left out."""

    def schema(self, files: list[InputFile]) -> pa.Schema:
        return unified([(file, _parquet(file).schema_arrow) for file in files])

    def spans(self, number: int, file: InputFile, sizes: Sizes, where: Any) -> Iterator[Span]:
        metadata = _parquet(file).metadata
        groups = range(metadata.num_row_groups) if where is None else _fitting(file, where)
        for group in groups:
            about = metadata.row_group(group)
            yield from _cut(number, group, about.num_rows, about.total_byte_size, sizes)

    def chunks(self, file: InputFile, span: Span, schema: pa.Schema) -> Iterator[Chunk]:
        opened = _parquet(file)
        names = [name for name in schema.names if name in opened.schema_arrow.names]
        row = max(1, span.size // max(1, span.stop - span.start))
        rows = max(1, min(CHUNK_ROWS, CHUNK_BYTES // row))
        with storage(file.place.shown):
            batches = opened.iter_batches(rows, row_groups=[span.group], columns=names, use_threads=False)
            yield from _between(batches, span)


class Arrow:
    """An Arrow IPC file; a span is a record batch, or rows of a large one."""

    def schema(self, files: list[InputFile]) -> pa.Schema:
        return unified([(file, _arrow(file).schema) for file in files])

    def spans(self, number: int, file: InputFile, sizes: Sizes, where: Any) -> Iterator[Span]:
        opened = _arrow(file)
        for group in range(opened.num_record_batches):
            batch = opened.get_batch(group)
            yield from _cut(number, group, batch.num_rows, batch.nbytes, sizes)

    def chunks(self, file: InputFile, span: Span, schema: pa.Schema) -> Iterator[Chunk]:
        with storage(file.place.shown):
            batch = _arrow(file).get_batch(span.group)
            batch = batch.select([name for name in schema.names if name in batch.schema.names])
            yield from _between((batch.slice(at, CHUNK_ROWS) for at in range(0, batch.num_rows, CHUNK_ROWS)), span)


def unified(schemas: list[tuple[InputFile, pa.Schema]]) -> pa.Schema:
    """One schema that the rows of all files fit into; raises UsageError naming the file that does not fit, or has
    two columns of one name.
    """
    for file, schema in schemas:
        if twice := [name for name in schema.names if schema.names.count(name) > 1]:
            raise UsageError(f"{file.place.shown} has two columns of the name {twice[0]!r}; name one of them anew")
    whole = schemas[0][1]
    for file, schema in schemas[1:]:
        try:
            whole = pa.unify_schemas([whole, schema], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise UsageError(
                f"{file.place.shown}: its columns do not fit those of the files before: {error}; give them one type, or"
                " give such files a batch of their own"
            ) from error
    return whole.remove_metadata()


def _parquet(file: InputFile) -> Any:
    with storage(file.place.shown):
        try:
            return pq.ParquetFile(file.place.open(), pre_buffer=False, buffer_size=1 << 20)
        except pa.ArrowInvalid as error:
            raise _damaged(file, "Parquet", error) from error


def _arrow(file: InputFile) -> Any:
    with storage(file.place.shown):
        try:
            return ipc.open_file(file.place.open())
        except pa.ArrowInvalid as error:
            raise _damaged(file, "Arrow", error) from error


def _damaged(file: InputFile, kind: str, error: Exception) -> StorageError:
    reason = " ".join(str(error).split()).rstrip(".")
    return StorageError(f"{file.place.shown} is no {kind} file: {reason}; write it anew, or leave it out")


def _fitting(file: InputFile, where: Any) -> list[int]:
    """The row groups that may have a row which fits, as the statistics and the file's folders tell."""
    fields = [(pc.field(name), value) for name, value in file.partition.items()]
    conditions = [field.is_null() if value is None else field == value for field, value in fields]
    more = {"partition_expression": functools.reduce(operator.and_, conditions)} if conditions else {}
    fragment = ds.ParquetFileFormat().make_fragment(file.place.path, file.place.system, **more)
    names = [name for name in file.partition if name not in fragment.physical_schema.names]
    whole = pa.schema([*fragment.physical_schema, *(pa.field(name, pa.string()) for name in names)])
    try:
        return [group.id for group in fragment.subset(where, schema=whole).row_groups]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # the whole input has other types; values are cast later
        return list(range(fragment.metadata.num_row_groups))


def _cut(number: int, group: int, rows: int, size: int, sizes: Sizes) -> Iterator[Span]:
    for start in range(0, rows, sizes.rows):
        stop = min(start + sizes.rows, rows)
        yield Span(number, start, stop, size * (stop - start) // rows, group, stop - start)


def _between(batches: Iterator[Any], span: Span) -> Iterator[Chunk]:
    """The rows from ``start`` to ``stop`` of batches that begin at row 0."""
    at = 0
    for batch in batches:
        first, last = max(span.start - at, 0), min(span.stop - at, batch.num_rows)
        if first < last:
            yield Chunk(pa.Table.from_batches([batch.slice(first, last - first)]))
        at += batch.num_rows
        if at >= span.stop:
            return
