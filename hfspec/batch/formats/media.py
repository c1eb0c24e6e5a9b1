"""Sounds and images: a file is a row, with its path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from hfspec.batch.places import storage
from hfspec.batch.spans import Chunk, InputFile, Sizes, Span


class Media:
    """A row a file: ``path`` as it was found, and ``bytes``, its content. A span is one file."""

    def schema(self, files: list[InputFile]) -> pa.Schema:
        return pa.schema([("path", pa.string()), ("bytes", pa.binary())])

    def spans(self, number: int, file: InputFile, sizes: Sizes, where: object) -> Iterator[Span]:
        yield Span(number, 0, file.size, file.size, rows=1)

    def chunks(self, file: InputFile, spans: Sequence[Span], schema: pa.Schema) -> Iterator[Chunk]:
        faults: dict[int, str] = {}
        data = None
        with storage(file.place.shown):
            try:
                with file.place.system.open_input_file(file.place.path) as stream:
                    data = stream.read()
            except (FileNotFoundError, PermissionError) as error:  # the fault of this file, not of its disk
                faults[0] = f"the file cannot be read: {error.strerror or 'it is gone'}."
        yield Chunk(pa.table({"path": [file.place.shown], "bytes": pa.array([data], pa.binary())}), faults)
