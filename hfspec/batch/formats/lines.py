"""Text and JSON Lines: bytes cut at the ends of lines."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa

from hfspec.batch.places import storage
from hfspec.batch.spans import CHUNK_BYTES, CHUNK_ROWS, Chunk, InputFile, Sizes, Span
from hfspec.errors import InputError, UsageError

SAMPLE_LINES, SAMPLE_FILES = 1000, 32
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

    def chunks(self, file: InputFile, span: Span, schema: pa.Schema) -> Iterator[Chunk]:
        for lines in _groups(file, span):
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

    def chunks(self, file: InputFile, span: Span, schema: pa.Schema) -> Iterator[Chunk]:
        for lines in _groups(file, span):
            yield typed([_parsed(line) for line in lines if line.strip()], schema)


def ranges(number: int, file: InputFile, sizes: Sizes) -> Iterator[Span]:
    """Ranges of the file's bytes; a line belongs to the range in which it begins. A compressed file is one range."""
    step = file.size if is_compressed(file) else sizes.bytes
    for start in range(0, file.size, max(step, 1)):
        stop = min(start + step, file.size)
        yield Span(number, start, stop, stop - start)


def is_compressed(file: InputFile) -> bool:
    """Whether the file can only be read from its beginning."""
    return file.place.path.endswith((".gz", ".bz2", ".zst", ".lz4"))


def hint_for(file: InputFile) -> str:
    """The likely fault of a file that cannot be read, and its remedy."""
    hint = "it is damaged, or not compressed as its ending says: compress it anew, or leave it out"
    return hint if is_compressed(file) else ""


def lines_of(file: InputFile, start: int, stop: int) -> Iterator[bytes]:
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


def _lines_of(file: InputFile, start: int, stop: int) -> Iterator[bytes]:
    with storage(file.place.shown, hint_for(file)):
        if is_compressed(file):
            with file.place.system.open_input_stream(file.place.path) as stream:
                yield from _lines(stream, None)
            return
        with file.place.open() as stream:
            before = max(start - 1, 0)  # a line begins at start where the byte before it ends one
            if before:  # a server that gives no ranges of bytes refuses to seek
                stream.seek(before)
            yield from _lines(stream, stop - before, skip=start > 0)


def _lines(stream: Any, most: int | None, *, skip: bool = False) -> Iterator[bytes]:
    """``most``: no line that begins at or after this offset; ``skip``: leave out the first line."""
    rest, at = b"", 0
    while block := stream.read(CHUNK_BYTES // 8):
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


def _groups(file: InputFile, span: Span) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    size = 0
    for line in lines_of(file, span.start, span.stop):
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
    for line in lines_of(file, 0, file.size):
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
