"""Pieces of the input: spans of files, and the parts of the output that they become."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from hfspec.ir.frozen import FrozenDict

if TYPE_CHECKING:
    import pyarrow as pa

    from hfspec.batch.places import Place

CHUNK_ROWS, CHUNK_BYTES = 8192, 8 << 20


@dataclass(frozen=True)
class InputFile:
    """A file of the input. ``partition``: the columns that the folders above it name, as ``lang=en`` does."""

    place: Place
    format: str
    size: int
    changed: int
    partition: Mapping[str, Any] = field(default_factory=FrozenDict)

    def identity(self) -> dict[str, Any]:
        """Its path, size and time of change, by which a later run sees that it has changed."""
        return {"path": self.place.shown, "size": self.size, "changed": self.changed}


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of one file that is read by itself. ``file``: its number. ``start`` and ``stop``: rows of the row group
    or record batch ``group`` where the format has such, else bytes of the file once it is decompressed. ``rows``: how
    many it holds, where that is known without reading it; ``size``: its bytes.
    """

    file: int
    start: int
    stop: int
    size: int
    group: int | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the output: its number and the spans whose rows it holds, in order."""

    number: int
    spans: tuple[Span, ...]

    @property
    def rows(self) -> int | None:
        """How many rows go in, where that is known without reading them."""
        counts = [span.rows for span in self.spans if span.rows is not None]
        return sum(counts) if len(counts) == len(self.spans) else None

    @property
    def size(self) -> int:
        return sum(span.size for span in self.spans)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large a part is at most: rows where they are known, else bytes of the input."""

    rows: int = 100_000
    bytes: int = 16 << 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that were read together. ``faults``: the number of a row here -> why it could not be read."""

    table: pa.Table
    faults: Mapping[int, str] = field(default_factory=dict)


class Reader(Protocol):
    """A reader of one format: it cuts and reads files, and keeps nothing between calls."""

    def schema(self, files: list[InputFile]) -> pa.Schema:
        """The columns of these files together; raises InputError naming the file."""

    def spans(self, number: int, file: InputFile, sizes: Sizes, where: Any) -> Iterator[Span]:
        """The spans of the file of this number, none larger than a part; spans whose rows ``where`` surely refuses may
        be left out.
        """

    def chunks(self, file: InputFile, spans: Sequence[Span], schema: pa.Schema) -> Iterator[Chunk]:
        """The rows of the file's spans that a part has, with the columns of ``schema``, a bounded number at a time."""


def parts(spans: Iterable[Span], sizes: Sizes) -> Iterator[Part]:
    """Spans put together while they fit into a part; which part a row goes to depends on the input and sizes alone."""
    mine: list[Span] = []
    number = rows = size = 0
    for span in spans:
        more = span.rows or 0
        full = rows + more > sizes.rows or (span.rows is None and size + span.size > sizes.bytes)
        if mine and full:
            yield Part(number, tuple(mine))
            number, mine, rows, size = number + 1, [], 0, 0
        mine.append(span)
        rows, size = rows + more, size + span.size
    if mine:
        yield Part(number, tuple(mine))
