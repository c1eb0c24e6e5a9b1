"""Text and JSON Lines: bytes cut at the ends of lines."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa

from hfspec.batch.places import storage
from hfspec.batch.spans import CHUNK_BYTES, CHUNK_ROWS, Chunk, InputFile, Sizes, Span
from hfspec.errors import InputError, UsageError

SAMPLE_LINES, SAMPLE_FILES = 1000, 32
BLOCK = 1 << 20
MOST_SPANS = 32  # of a compressed file, which is read from its beginning for each
DAMAGED = "it is damaged, or not compressed as its ending says: compress it anew, or leave it out"
OTHER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
# Arrow raises these for a value that is not of a type.
WRONG = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, UnicodeError)


class Text:
    """A row a line, in the column ``text``."""

    def schema(self, files: list[InputFile]) -> pa.Schema:
        for file in files[:SAMPLE_FILES]:
            next(lines_of(file, 0, 1), None)
        return pa.schema([("text", pa.string())])

    def spans(self, number: int, file: InputFile, sizes: Sizes, where: Any) -> Iterator[Span]:
        return ranges(number, file, sizes)

    def chunks(self, file: InputFile, spans: Sequence[Span], schema: pa.Schema) -> Iterator[Chunk]:
        for lines in _groups(file, spans):
            yield _rows([_decoded(line) for line in lines])


class JsonLines:
    """A row a line, a JSON object; empty lines are no rows. The columns have the types of the files' first
    lines, and a row with another type cannot be answered.
    """

    def schema(self, files: list[InputFile]) -> pa.Schema:
        schemas = [_sampled(file) for file in files[:SAMPLE_FILES]]
        try:
            whole = pa.unify_schemas(schemas, promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise UsageError(f"{files[0].place.shown}: the files' columns do not fit together: {error}") from error
        if not whole.names:
            raise UsageError(
                f"{files[0].place.shown} has no line that is a JSON object; a JSON array is to have a line for each"
                " row, as jq -c '.[]' writes it; leave an empty file out"
            )
        return pa.schema([field if field.type != pa.null() else pa.field(field.name, pa.string()) for field in whole])

    def spans(self, number: int, file: InputFile, sizes: Sizes, where: Any) -> Iterator[Span]:
        return ranges(number, file, sizes)

    def chunks(self, file: InputFile, spans: Sequence[Span], schema: pa.Schema) -> Iterator[Chunk]:
        for lines in _groups(file, spans):
            yield typed([_parsed(line) for line in lines if line.strip()], schema)


def ranges(number: int, file: InputFile, sizes: Sizes) -> Iterator[Span]:
    """Ranges of the file's bytes; a line belongs to the range in which it begins."""
    size = size_of(file)
    step = step_of(file, size, sizes)
    for start in range(0, size, step):
        stop = min(start + step, size)
        yield Span(number, start, stop, stop - start)


def size_of(file: InputFile) -> int:
    """Its bytes once it is decompressed; raises StorageError."""
    if file.place.compression is None:
        return file.size
    size = 0
    with opened_at(file, 0) as stream:
        while block := stream.read(BLOCK):
            size += len(block)
    return size


def step_of(file: InputFile, size: int, sizes: Sizes) -> int:
    """The bytes of a span of the file, which has ``size`` bytes once it is decompressed."""
    return max(sizes.bytes, 0 if file.place.compression is None else -(-size // MOST_SPANS))


@contextmanager
def opened_at(file: InputFile, start: int) -> Iterator[Any]:
    """The file's bytes from ``start`` on, decompressed; raises StorageError, also for what is read within."""
    kind = file.place.compression
    with storage(file.place.shown, DAMAGED if kind else ""):
        if kind is None:
            with file.place.open() as stream:
                if start:  # a server that gives no ranges of bytes refuses to seek
                    stream.seek(start)
                yield stream
            return
        with file.place.system.open_input_stream(file.place.path, compression=kind) as stream:
            while start and (block := stream.read(min(start, BLOCK))):
                start -= len(block)
            yield stream


def lines_of(file: InputFile, start: int, stop: int | None) -> Iterator[bytes]:
    """The lines that begin in these bytes of the file, without their ends and without a byte order mark.

    Raises UsageError where the file is of another encoding.
    """
    lines = _lines_of(file, start, stop)
    if start == 0 and (first := next(lines, None)) is not None:
        check_encoding(file, first)
        yield first.removeprefix(codecs.BOM_UTF8)
    yield from lines


def check_encoding(file: InputFile, start: bytes) -> None:
    """Raises UsageError where a file that begins with these bytes is of an encoding of which each line would be read
    as another text.
    """
    if start.startswith(OTHER_MARKS) or b"\0" in start[:4]:
        raise UsageError(
            f"{file.place.shown} is not UTF-8, but UTF-16 or UTF-32 as it seems; convert it first:"
            " iconv -f UTF-16 -t UTF-8"
        )


def _lines_of(file: InputFile, start: int, stop: int | None) -> Iterator[bytes]:
    before = max(start - 1, 0)  # a line begins at start where the byte before it ends one
    with opened_at(file, before) as stream:
        yield from _lines(stream, None if stop is None else stop - before, skip=start > 0)


def _lines(stream: Any, most: int | None, *, skip: bool = False) -> Iterator[bytes]:
    """``most``: no line that begins at or after this offset; ``skip``: leave out the first line."""
    rest, at = b"", 0
    while block := stream.read(BLOCK):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            if skip:
                skip = False
            elif most is not None and at >= most:
                return
            else:
                yield line.removesuffix(b"\r")
            at += len(line) + 1
        if most is not None and at >= most:
            return
    if rest and not skip and (most is None or at < most):
        yield rest.removesuffix(b"\r")


def _groups(file: InputFile, spans: Sequence[Span]) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    size = 0
    for line in (line for span in spans for line in lines_of(file, span.start, span.stop)):
        group.append(line)
        size += len(line)
        if len(group) >= CHUNK_ROWS or size >= CHUNK_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _decoded(line: bytes) -> str | InputError:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        return InputError(f"the line is not UTF-8: {error.reason} at byte {error.start}.")


def _rows(texts: Sequence[str | InputError]) -> Chunk:
    faults = {at: text.reason for at, text in enumerate(texts) if isinstance(text, InputError)}
    return Chunk(pa.table({"text": [None if at in faults else text for at, text in enumerate(texts)]}), faults)


def _parsed(line: bytes) -> dict[str, Any] | InputError:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return InputError(f"the line is not JSON: {error}.")
    if isinstance(value, dict):
        return value
    return InputError(f"the line is not a JSON object, but {type(value).__name__}.")


def typed(rows: Sequence[dict[str, Any] | InputError], schema: pa.Schema) -> Chunk:
    """The rows as columns; one whose value is of another type is null there, and a fault."""
    faults = {at: row.reason for at, row in enumerate(rows) if isinstance(row, InputError)}
    columns = []
    for field in schema:
        cells = [None if isinstance(row, InputError) else row.get(field.name) for row in rows]
        try:
            columns.append(_exact(cells, field.type))
        except WRONG:
            columns.append(pa.array(_fitting(cells, field, faults), field.type))
    return Chunk(pa.Table.from_arrays(columns, schema=schema), faults)


def _exact(cells: Sequence[Any], kind: Any) -> pa.Array:
    """The cells as an array; raises ArrowInvalid for a fraction among whole numbers, which Arrow would cut off."""
    inner = kind.value_type if pa.types.is_list(kind) else kind
    if pa.types.is_integer(inner):
        array = pa.array(cells)
        own = array.type.value_type if pa.types.is_list(array.type) else array.type
        if pa.types.is_floating(own):
            return array.cast(kind)
    return pa.array(cells, kind)


def _fitting(cells: Sequence[Any], field: pa.Field, faults: dict[int, str]) -> list[Any]:
    values: list[Any] = []
    for at, cell in enumerate(cells):
        try:
            _exact([cell], field.type)
            values.append(cell)
        except WRONG:
            values.append(None)
            faults.setdefault(at, f"column {field.name!r}: {str(cell)[:60]!r} is not {field.type}.")
    return values


def _sampled(file: InputFile) -> pa.Schema:
    """The columns of the first lines that can be read."""
    rows: list[dict[str, Any]] = []
    for line in lines_of(file, 0, None):
        row = _parsed(line) if line.strip() else None
        if isinstance(row, dict):
            rows.append(row)
        if len(rows) == SAMPLE_LINES:
            break
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.schema([pa.field(name, _type_of([row.get(name) for row in rows])) for name in names])


def _type_of(cells: Sequence[Any]) -> Any:
    """The one type of these values; else the type of the first value that Arrow has a type for."""
    for sample in (cells, *([cell] for cell in cells if cell is not None)):
        with suppress(*WRONG):
            return pa.array(sample).type
    return pa.string()
