"""Parquet and Arrow files: row groups and record batches."""

from __future__ import annotations

import functools
import io
import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import ipc

from hfspec.batch.formats.messages import BATCH, MAGIC, batches_of_file, dictionaries, of_stream
from hfspec.batch.places import storage
from hfspec.batch.spans import CHUNK_BYTES, CHUNK_ROWS, Chunk, InputFile, Sizes, Span
from hfspec.batch.types import without_dictionaries
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

    def chunks(self, file: InputFile, spans: Sequence[Span], schema: pa.Schema) -> Iterator[Chunk]:
        opened = _parquet(file)
        names = [name for name in schema.names if name in opened.schema_arrow.names]
        for span in spans:
            row = max(1, span.size // max(1, span.stop - span.start))
            rows = max(1, min(CHUNK_ROWS, CHUNK_BYTES // row))
            with _reading(file, "Parquet"):
                batches = opened.iter_batches(rows, row_groups=[span.group], columns=names, use_threads=False)
                yield from _between(batches, span)


class Arrow:
    """An Arrow IPC file or stream; a span is a record batch, or rows of a large one. ``group`` is the number of the
    batch in a file, and the byte in a stream at which its message begins. Cutting reads no columns.
    """

    def schema(self, files: list[InputFile]) -> pa.Schema:
        return unified([(file, _arrow(file).schema) for file in files])

    def spans(self, number: int, file: InputFile, sizes: Sizes, where: Any) -> Iterator[Span]:
        is_stream = isinstance(_arrow(file), ipc.RecordBatchStreamReader)
        with _reading(file, "Arrow"), file.place.open() as opened:
            for index, message in enumerate((of_stream if is_stream else batches_of_file)(opened, file.size)):
                if message.kind == BATCH:
                    group = message.start if is_stream else index
                    yield from _cut(number, group, message.rows, message.stop - message.start, sizes)

    def chunks(self, file: InputFile, spans: Sequence[Span], schema: pa.Schema) -> Iterator[Chunk]:
        opened = _arrow(file)
        groups = [(group, list(mine)) for group, mine in groupby(spans, operator.attrgetter("group"))]
        with _reading(file, "Arrow"):
            if isinstance(opened, ipc.RecordBatchStreamReader):
                batches = _from(file, opened.schema, groups[0][0])
            else:
                batches = (opened.get_batch(group) for group, _ in groups)
            for (_, mine), batch in zip(groups, batches, strict=False):
                for span in mine:
                    yield from _between(_pieces(batch, schema), span)


class _Joined(io.RawIOBase):
    """Bytes, and then the rest of an open file."""

    def __init__(self, first: bytes, rest: Any) -> None:
        self._first, self._rest = io.BytesIO(first), rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._first.read(size)
        return data + self._rest.read(size - len(data)) if len(data) < size else data


def _from(file: InputFile, schema: pa.Schema, start: int) -> Iterator[pa.RecordBatch]:
    """The record batches of a stream that have rows, from the one at the byte ``start``; of what lies before, only the
    dictionaries are read.
    """
    with file.place.open() as opened:
        messages = of_stream(opened, file.size)
        first = [next(messages)]
        if any(map(_has_dictionary, schema.types)):
            first += dictionaries(messages, start)
        data = b"".join(opened.read_at(each.stop - each.start, each.start) for each in first)
        opened.seek(start)
        yield from (batch for batch in ipc.open_stream(_Joined(data, opened)) if batch.num_rows)


def _has_dictionary(kind: Any) -> bool:
    plain = getattr(kind, "storage_type", kind)
    inside = [plain.field(at).type for at in range(plain.num_fields)]
    return bool(pa.types.is_dictionary(plain)) or any(map(_has_dictionary, inside))


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
            whole = _together(whole, schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise UsageError(
                f"{file.place.shown}: its columns do not fit those of the files before: {error}; give them one type, or"
                " give such files a batch of their own"
            ) from error
    return whole.remove_metadata()


def _together(first: pa.Schema, second: pa.Schema) -> pa.Schema:
    try:
        return pa.unify_schemas([first, second], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # a column of categories in one file, and of text in the other
        plain = [without_dictionaries(first), without_dictionaries(second)]
        return pa.unify_schemas(plain, promote_options="permissive")


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
        if file.place.compression:
            remedy = "decompress it first, since only files of lines are read compressed"
        elif "crypt" in reason:
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
