"""The rows of the input, part by part: from every format the same columns, filtered and sampled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from typing import Any

import pyarrow as pa

from hfspec.batch.filters import parsed
from hfspec.batch.formats.columnar import unified
from hfspec.batch.formats.table import FORMATS
from hfspec.batch.spans import CHUNK_BYTES, Chunk, InputFile, Part, Reader, Sizes, Span, parts
from hfspec.errors import UsageError

PLACE = "\0place"  # a column that no input has


@dataclass(frozen=True)
class InputRows:
    """The files of the input as one table. ``where``: a condition that a row must fit; ``sample``: the share of the
    rows that is taken, always the same rows of the same input.
    """

    files: tuple[InputFile, ...]
    sizes: Sizes = field(default_factory=Sizes)
    where: str | None = None
    sample: float | None = None

    @cached_property
    def readers(self) -> dict[str, Reader]:
        return {name: FORMATS[name].open() for name in dict.fromkeys(file.format for file in self.files)}

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of all files, then the columns that their folders name."""
        schemas = []
        for name, reader in self.readers.items():
            mine = [file for file in self.files if file.format == name]
            schemas.append((mine[0], reader.schema(mine)))
        whole = unified(schemas)
        names = dict.fromkeys(name for file in self.files for name in file.partition)
        for name in names:
            if name not in whole.names:
                whole = whole.append(pa.field(name, pa.string()))
        for file in self.files:
            for name in file.partition:
                _of_folder(file, whole.field(name))
        return whole

    @cached_property
    def condition(self) -> Any:
        """``where`` as an expression of pyarrow's; raises UsageError where it does not go with the columns."""
        return None if self.where is None else parsed(self.where, self.schema)

    def parts(self) -> tuple[Part, ...]:
        """The parts that the output will have."""
        return tuple(parts(self._spans(), self.sizes)) or (Part(0, ()),)

    def _spans(self) -> Iterator[Span]:
        for number, file in enumerate(self.files):
            yield from self.readers[file.format].spans(number, file, self.sizes, self.condition)

    def read(self, part: Part) -> Iterator[Chunk]:
        """The rows of a part, in order, a bounded number at a time."""
        place = 0
        for number, spans in groupby(part.spans, attrgetter("file")):
            file = self.files[number]
            for chunk in self.readers[file.format].chunks(file, list(spans), self.schema):
                whole = self._filtered(self._whole(chunk, file))
                if self.sample is not None:
                    whole, place = self._sampled(whole, part, place), place + whole.table.num_rows
                yield whole

    def _whole(self, chunk: Chunk, file: InputFile) -> Chunk:
        """The chunk with every column of the schema, in its order and of its type; a value that the type cannot hold is
        null there, and its row a fault.
        """
        columns, faults = [], dict(chunk.faults)
        for column in self.schema:
            if column.name in chunk.table.column_names:
                columns.append(_cast(chunk.table.column(column.name), column, faults))
            else:
                columns.append(pa.repeat(_of_folder(file, column), chunk.table.num_rows))
        return Chunk(pa.Table.from_arrays(columns, schema=self.schema), faults)

    def _filtered(self, chunk: Chunk) -> Chunk:
        """The rows that fit ``where``, and those that could not be read, which the filter does not judge."""
        if self.condition is None:
            return chunk
        marked = chunk.table.append_column(PLACE, pa.array(range(chunk.table.num_rows), pa.int64()))
        places = marked.filter(self.condition).column(PLACE).to_pylist()
        return _taken(chunk, sorted({*places, *chunk.faults}))

    def _sampled(self, chunk: Chunk, part: Part, place: int) -> Chunk:
        import numpy as np

        seed = int.from_bytes(sha256(f"{part.number} {place}".encode()).digest()[:8])
        mask = np.random.default_rng(seed).random(chunk.table.num_rows) < (self.sample or 0)
        return _taken(chunk, np.flatnonzero(mask).tolist())


def _of_folder(file: InputFile, field: pa.Field) -> pa.Scalar:
    """The value that the folders above a file have for a column; raises UsageError where it is of another type."""
    value = file.partition.get(field.name)
    try:
        return pa.scalar(None, field.type) if value is None else pa.scalar(value, pa.string()).cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UsageError(
            f"{file.place.shown}: its folder says {field.name}={value}, and the column {field.name} of other files is"
            f" {field.type}; name one of them anew"
        ) from error


def _cast(column: pa.ChunkedArray, field: pa.Field, faults: dict[int, str]) -> Any:
    with suppress(pa.ArrowInvalid):
        return column.cast(field.type)
    cells = []
    for at, cell in enumerate(column):
        try:
            cells.append(cell.cast(field.type).as_py())
        except pa.ArrowInvalid as error:
            cells.append(None)
            faults.setdefault(at, f"column {field.name!r}: {' '.join(str(error).split())}.")
    return pa.array(cells, field.type)


def gathered(chunks: Iterable[Chunk], rows: int) -> Iterator[Chunk]:
    """The same rows in chunks of at least ``rows`` rows or CHUNK_BYTES bytes, but for the last: many small files, such
    as images, are answered together.
    """
    group: list[Chunk] = []
    count = size = 0
    for chunk in chunks:
        group.append(chunk)
        count, size = count + chunk.table.num_rows, size + chunk.table.nbytes
        if count >= rows or size >= CHUNK_BYTES:
            yield _joined(group)
            group, count, size = [], 0, 0
    if group:
        yield _joined(group)


def _joined(chunks: list[Chunk]) -> Chunk:
    faults: dict[int, str] = {}
    first = 0
    for chunk in chunks:
        faults |= {first + at: reason for at, reason in chunk.faults.items()}
        first += chunk.table.num_rows
    return Chunk(pa.concat_tables([chunk.table for chunk in chunks]), faults)


def _taken(chunk: Chunk, places: list[int]) -> Chunk:
    if len(places) == chunk.table.num_rows:
        return chunk
    faults = {new: chunk.faults[old] for new, old in enumerate(places) if old in chunk.faults}
    return Chunk(chunk.table.take(pa.array(places, pa.int64())), faults)


def first_rows(chunk: Chunk, count: int) -> Chunk:
    """The first ``count`` rows of a chunk."""
    return _taken(chunk, list(range(min(count, chunk.table.num_rows))))
