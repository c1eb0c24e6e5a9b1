"""The formats of input: a row each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hfspec.batch.spans import Reader
from hfspec.ir.lazy import named


@dataclass(frozen=True, slots=True)
class Format:
    """The endings of its files' names, and its reader, ``module:NAME``."""

    endings: tuple[str, ...]
    reader: str

    def open(self) -> Reader:
        """The reader."""
        reader: Reader = named(self.reader)()
        return reader


# Ending of a file's name, in any case -> its compression, as pyarrow names it.
COMPRESSED = MappingProxyType({".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"})
_HERE = "hfspec.batch.formats"
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "parquet": Format((".parquet", ".pq"), f"{_HERE}.columnar:Parquet"),
        "arrow": Format((".arrow", ".arrows", ".feather", ".ipc"), f"{_HERE}.columnar:Arrow"),
        "jsonl": Format((".jsonl", ".ndjson"), f"{_HERE}.lines:JsonLines"),
        "csv": Format((".csv",), f"{_HERE}.commas:Commas"),
        "text": Format((".txt",), f"{_HERE}.lines:Text"),
        "audio": Format((".wav", ".flac", ".mp3", ".ogg", ".m4a", ".opus"), f"{_HERE}.media:Media"),
        "image": Format((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tiff"), f"{_HERE}.media:Media"),
    }
)


def format_of(name: str) -> str | None:
    """The format of a file by its name's ending, in any case; None for an ending that none has."""
    lower = name.lower()
    for ending in COMPRESSED:
        lower = lower.removesuffix(ending)
    return next((key for key, one in FORMATS.items() if lower.endswith(one.endings)), None)
