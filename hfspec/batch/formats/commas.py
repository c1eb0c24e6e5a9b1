"""CSV: every value is text, as the file has it."""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

import pyarrow as pa

from hfspec.batch.formats.columnar import unified
from hfspec.batch.formats.lines import BLOCK, check_encoding, opened_at, size_of, step_of
from hfspec.batch.spans import CHUNK_BYTES, CHUNK_ROWS, Chunk, InputFile, Sizes, Span
from hfspec.errors import StorageError, UsageError

MARK = "\ufeff"


class Commas:
    """A row a record, the names of the columns in the first one; a field in quotes may hold ends of lines. A record
    with another number of fields than there are names is a row that cannot be answered.
    """

    def schema(self, files: list[InputFile]) -> pa.Schema:
        filled = [file for file in files if file.size] or files  # Spark leaves empty files for partitions without rows
        return unified([(file, pa.schema([(name, pa.string()) for name in _header(file)])) for file in filled])

    def spans(self, number: int, file: InputFile, sizes: Sizes, where: object) -> Iterator[Span]:
        size = size_of(file)
        start = 0
        for stop in _ends(file, size, step_of(file, size, sizes)):
            yield Span(number, start, stop, stop - start)
            start = stop

    def chunks(self, file: InputFile, spans: Sequence[Span], schema: pa.Schema) -> Iterator[Chunk]:
        names = _header(file)
        group: list[list[str]] = []
        size = 0
        for record in (record for span in spans for record in _records(file, span)):
            if not record:
                continue
            group.append(record)
            size += sum(map(len, record))
            if len(group) >= CHUNK_ROWS or size >= CHUNK_BYTES:
                yield _chunk(group, names, schema)
                group, size = [], 0
        if group:
            yield _chunk(group, names, schema)


def _header(file: InputFile) -> list[str]:
    """The names of the columns; raises UsageError for an empty file, and one that is not UTF-8 or has no commas."""
    csv.field_size_limit(1 << 30)
    with closing(_lines(file, 0, None)) as lines:
        names = next(csv.reader(lines), [])
    check_encoding(file, "".join(names).encode("utf-8", "surrogateescape"))
    if problem := _problem(names):
        raise UsageError(f"{file.place.shown} {problem}")
    return names


def _problem(names: list[str]) -> str:
    """The fault of the columns' names, with its remedy."""
    if not names:
        return "has no first line with the names of columns; leave it out, or add the line"
    if not all(map(_is_unicode, names)):
        return "has names of columns that are not UTF-8; convert it first, as with iconv -f LATIN1 -t UTF-8"
    if len(names) == 1 and (mark := next((mark for mark in ";\t|" if mark in names[0]), None)):
        return f"has the single column {names[0]!r}; its fields are to be separated by commas, not by {mark!r}"
    return ""


def _lines(file: InputFile, start: int, stop: int | None) -> Generator[str, None, None]:
    """The lines of the file with their ends, from the byte ``start`` to the byte ``stop``, where a line ends; without a
    byte order mark.
    """
    with opened_at(file, start) as stream:
        at = start
        for line in io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline=""):
            if stop is not None and at >= stop:
                return
            yield line if at else line.removeprefix(MARK)
            at += len(line.encode("utf-8", "surrogateescape"))


def _records(file: InputFile, span: Span) -> Iterator[list[str]]:
    """The records of the span. ``span.stop`` is the end of a record, so that counting bytes ends there. Raises
    StorageError for a quote that is never closed, which would make one field of all further lines.
    """
    csv.field_size_limit(1 << 30)
    is_over = False

    def lines() -> Iterator[str]:
        nonlocal is_over
        yield from _lines(file, span.start, span.stop)
        is_over = True

    try:
        for number, record in enumerate(csv.reader(lines())):
            if is_over:  # the reader looked for more lines before this record was whole
                raise StorageError(
                    f"{file.place.shown}: a quote in the record that begins with {','.join(record)[:30]!r} is never"
                    " closed; close or double it, or leave the file out"
                )
            if number or span.start:
                yield record
    except csv.Error as error:
        raise StorageError(f"{file.place.shown} is no CSV: {error}; write it anew, or leave it out") from error


def _ends(file: InputFile, size: int, step: int) -> Iterator[int]:
    """Where records end, at least ``step`` bytes apart: an end of line with an even number of quotes before it."""
    with opened_at(file, 0) as stream:
        at, last, quotes = 0, 0, 0
        while block := stream.read(BLOCK):
            begin = 0
            while at + len(block) - last >= step:
                end = _even_end(block, max(begin, last + step - at), begin, quotes)
                if end < 0:
                    break
                quotes += block.count(b'"', begin, end)
                begin, last = end, at + end
                yield last
            quotes += block.count(b'"', begin)
            at += len(block)
    if last < size:
        if quotes % 2:
            for _ in _records(file, Span(0, last, size, size - last)):
                """Read to the end, before anything is written: the odd quote may never be closed."""
        yield size


def _even_end(block: bytes, first: int, begin: int, quotes: int) -> int:
    """The end of the first record that ends at or after ``first``; ``quotes``: how many came before ``begin``."""
    end = block.find(b"\n", first) + 1
    counted, upto = quotes, begin
    while end > 0:
        counted += block.count(b'"', upto, end)
        if counted % 2 == 0:
            return end
        upto, end = end, block.find(b"\n", end) + 1
    return -1


def _chunk(records: list[list[str]], names: list[str], schema: pa.Schema) -> Chunk:
    faults = {
        at: f"the record has {len(record)} fields, and there are {len(names)} columns."
        for at, record in enumerate(records)
        if len(record) != len(names)
    }
    for at, record in enumerate(records):
        if at not in faults and not all(map(_is_unicode, record)):
            faults[at] = "the record is not UTF-8."
    places = {name: place for place, name in enumerate(names)}
    columns = {
        name: [None if at in faults else record[places[name]] for at, record in enumerate(records)]
        for name in schema.names
        if name in places
    }
    return Chunk(pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()}), faults)


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)
