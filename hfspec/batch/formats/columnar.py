"""Parquet and Arrow files: row groups and record batches."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import ipc

from hfspec.batch.places import storage
from hfspec.batch.spans import CHUNK_BYTES, CHUNK_ROWS, Chunk, InputFile, Sizes, Span
from hfspec.errors import StorageError, UsageError

MAGIC = b"ARROW1"  # begins the file format, not the stream format


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
        with _reading(file, "Parquet"):
            batches = opened.iter_batches(rows, row_groups=[span.group], columns=names, use_threads=False)
            yield from _between(batches, span)


class Arrow:
    """An Arrow IPC file; a span is a record batch, or rows of a large one. The stream format, which can only be read
    from its beginning, is one span.
    """

    def schema(self, files: list[InputFile]) -> pa.Schema:
        return unified([(file, _arrow(file).schema) for file in files])

    def spans(self, number: int, file: InputFile, sizes: Sizes, where: Any) -> Iterator[Span]:
        opened = _arrow(file)
        if isinstance(opened, ipc.RecordBatchStreamReader):
            yield Span(number, 0, file.size, file.size)
            return
        for group in range(opened.num_record_batches):
            with _reading(file, "Arrow"):
                batch = opened.get_batch(group)
            yield from _cut(number, group, batch.num_rows, batch.nbytes, sizes)

    def chunks(self, file: InputFile, span: Span, schema: pa.Schema) -> Iterator[Chunk]:
        opened = _arrow(file)
        with _reading(file, "Arrow"):
            if span.group is None:
                for batch in opened:
                    yield from (Chunk(pa.Table.from_batches([piece])) for piece in _pieces(batch, schema))
            else:
                yield from _between(_pieces(opened.get_batch(span.group), schema), span)


def _pieces(batch: pa.RecordBatch, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of a batch with the columns of ``schema``, a bounded number at a time. Arrow does not look at what it
    reads, and damaged offsets would end the process.
    """
    wanted = batch.select([name for name in schema.names if name in batch.schema.names])
    for at in range(0, batch.num_rows, CHUNK_ROWS):
        piece = wanted.slice(at, CHUNK_ROWS)
        piece.validate(full=True)
        yield piece


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
    with _reading(file, "Parquet"):
        return pq.ParquetFile(file.place.open(), pre_buffer=False, buffer_size=1 << 20)


def _arrow(file: InputFile) -> Any:
    """A reader of the file or stream format."""
    with _reading(file, "Arrow"):
        stream = file.place.open()
        is_file = stream.read(len(MAGIC)) == MAGIC
        stream.seek(0)
        return ipc.open_file(stream) if is_file else ipc.open_stream(stream)


@contextmanager
def _reading(file: InputFile, kind: str) -> Iterator[None]:
    """Turn what pyarrow raises over a damaged or encrypted file into a StorageError."""
    try:
        with storage(file.place.shown):
            yield
    except (pa.ArrowException, StorageError) as error:
        fault = error.__cause__ or error
        if getattr(fault, "errno", None) is not None:
            raise
        reason = " ".join(str(fault).split()).rstrip(".")
        remedy = "write it anew, or leave it out"
        if "crypt" in reason:
            remedy = "decrypt it first, or leave it out"
        elif "://" in file.place.shown:
            remedy = f"{remedy}; where it is whole, check the network and the keys that the environment has"
        raise StorageError(f"{file.place.shown} cannot be read as {kind}: {reason}; {remedy}") from error


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
