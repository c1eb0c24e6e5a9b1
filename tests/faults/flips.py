"""One bit flipped in every file of an artifact, round after round, and put back."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MANIFEST = "artifact.json"
# Whatever would parse a file of an artifact.
PARSERS = ("transformers", "tokenizers", "safetensors", "sentence_transformers", "sentencepiece", "yaml", "torch")


@dataclass
class Flips:
    """The places in an artifact where bits are flipped: each round one in each file, by a seed. A file with no more
    bytes than there are rounds has every byte flipped. The manifest, which is read first, is not among ``files``.
    """

    folder: Path
    seed: int
    files: dict[str, int] = field(init=False)
    _orders: dict[str, list[int]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        found = (path for path in sorted(self.folder.rglob("*")) if path.is_file() and path.stat().st_size)
        sizes = {path.relative_to(self.folder).as_posix(): path.stat().st_size for path in found}
        self.manifest_size = sizes.pop(MANIFEST)
        self.files = sizes

    @contextlib.contextmanager
    def round(self) -> Iterator[list[str]]:
        """A bit of every file but the manifest is flipped in the block; the names of these files."""
        places = {name: (self._offset(name, size), self._random.randrange(8)) for name, size in self.files.items()}
        with self._flipped(places):
            yield list(places)

    @contextlib.contextmanager
    def manifest_round(self) -> Iterator[list[str]]:
        """A bit of the manifest is flipped in the block."""
        place = self._offset(MANIFEST, self.manifest_size), self._random.randrange(8)
        with self._flipped({MANIFEST: place}):
            yield [MANIFEST]

    @contextlib.contextmanager
    def _flipped(self, places: dict[str, tuple[int, int]]) -> Iterator[None]:
        for name, place in places.items():
            _flip(self.folder / name, *place)
        try:
            yield
        finally:
            for name, place in places.items():
                _flip(self.folder / name, *place)

    def _offset(self, name: str, size: int) -> int:
        order = self._orders.setdefault(name, [])
        if not order:
            order += self._random.sample(range(size), min(size, 1000))
        return order.pop()


def _flip(file: Path, offset: int, bit: int) -> None:
    with file.open("r+b", buffering=0) as stream:
        stream.seek(offset)
        (byte,) = stream.read(1)
        stream.seek(offset)
        stream.write(bytes([byte ^ 1 << bit]))


@dataclass
class Watch:
    """What is opened under a folder, and by whom: ``parsed`` has the files that something else than the verification
    opened. Audit hooks stay for ever, so one watch serves a process.
    """

    folder: Path
    opened: int = 0
    parsed: set[str] = field(default_factory=set)
    is_on: bool = False

    def __post_init__(self) -> None:
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple) -> None:
        if self.is_on and event == "open" and str(arguments[0]).startswith(str(self.folder)):
            self.opened += 1
            if not _is_verification():
                self.parsed.add(str(arguments[0]))


def _is_verification() -> bool:
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.endswith("integrity/verification.py"):
            return True
        frame = frame.f_back
    return False
