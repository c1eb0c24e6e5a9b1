"""The progress of a job, beside its output: a file a part, so that a job that was killed goes on where it was.

::

    OUTPUT/part-00000.parquet        written under a hidden name, then renamed
    OUTPUT/_journal/job.json         the job's identity, and the spans of each part
    OUTPUT/_journal/part-00000.json  a part that is whole, with its digest
    OUTPUT/_manifest.json            at the end: counts, digests, versions
    OUTPUT/_SUCCESS                  at the very end, and the journal is taken away
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from hfspec.batch.places import Folder
from hfspec.batch.spans import Part, Span
from hfspec.errors import StorageError, UsageError
from hfspec.ir.canonical import canonical

JOURNAL, MANIFEST, SUCCESS = "_journal", "_manifest.json", "_SUCCESS"
JOB = f"{JOURNAL}/job.json"
LOCK = f"{JOURNAL}/lock"
_WRITTEN = re.compile(rf"part-\d+\.\w+|{JOURNAL}/(part-\d+|job)\.json|{MANIFEST}|{SUCCESS}")


@dataclass(frozen=True, slots=True)
class Record:
    """A part that is whole. ``errors``: kind -> how many of its rows could not be answered."""

    part: int
    file: str
    rows: int
    size: int
    sha256: str
    errors: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "file": self.file,
            "rows": self.rows,
            "size": self.size,
            "sha256": self.sha256,
            "errors": dict(sorted(self.errors.items())),
        }


class Journal:
    """The journal of a job in its output's folder."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def finished(self, identity: Mapping[str, Any]) -> dict[str, Any] | None:
        """The manifest of the same job, where it is finished. Raises UsageError where another job is finished or begun
        there, or the folder holds files that no batch wrote.
        """
        names = self.folder.names()
        manifest, job = self.folder.read(MANIFEST), self.folder.read(JOB)
        if manifest is None and job is None and any(name != LOCK for name in names):
            raise UsageError(f"{self.folder.at.shown} is not empty, and no batch wrote it: choose another --output")
        for text in (manifest, job):
            if text is not None:
                self._check_same(_parsed(text, self.folder.at.shown)["job"], identity)
        return None if manifest is None or SUCCESS not in names else _parsed(manifest, self.folder.at.shown)

    def _check_same(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        changed = [key for key in now if before.get(key) != now[key]]
        if changed:
            raise UsageError(
                f"{self.folder.at.shown} has the output of another job, which differs in {', '.join(changed)}"
                f"{_difference(before, now, changed[0])}; choose another --output, or give --overwrite to begin anew"
            )

    def begin(self, identity: Mapping[str, Any], cut: Callable[[], Sequence[Part]]) -> tuple[Part, ...]:
        """The parts of the job: read from the journal, or made by ``cut`` and written there."""
        self.folder.sweep()
        text = self.folder.read(JOB)
        if text is not None:
            return tuple(_part(each) for each in _parsed(text, self.folder.at.shown)["parts"])
        parts = tuple(cut())
        document = canonical({"job": dict(identity), "parts": [part.to_json() for part in parts]})
        self.folder.put(JOB, _writing(document))
        return parts

    def records(self) -> dict[int, Record]:
        """The parts that are whole."""
        records = {}
        names = set(self.folder.names())
        for name in names:
            if name.startswith(f"{JOURNAL}/part-") and (text := self.folder.read(name)) is not None:
                record = Record(**_parsed(text, self.folder.at.shown))
                if record.file in names:
                    records[record.part] = record
        return records

    def write(self, part: Part, ending: str, write: Callable[[IO[bytes]], tuple[int, Mapping[str, int]]]) -> Record:
        """Write a part, then record it; ``write`` returns how many rows it has, and its errors."""
        name = f"part-{part.number:05d}"
        results: list[tuple[int, Mapping[str, int]]] = []
        digest = Digesting()

        def whole(stream: IO[bytes]) -> None:
            results.append(write(digest.over(stream)))

        self.folder.put(f"{name}{ending}", whole)
        rows, errors = results[0]
        record = Record(part.number, f"{name}{ending}", rows, digest.size, digest.sha256.hexdigest(), errors)
        self.folder.put(f"{JOURNAL}/{name}.json", _writing(canonical(record.to_json())))
        return record

    def check(self, record: Record) -> None:
        """Raises StorageError where a part is missing, since another machine has written it to a disk of its own."""
        child = self.folder.at.child(record.file)
        if child.info.size != record.size:
            raise StorageError(f"{child.shown}: was written on another machine; the output must lie where all read it")

    def finish(
        self, identity: Mapping[str, Any], records: Sequence[Record], about: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write the manifest and ``_SUCCESS``, and remove the journal.

        Returns:
            The manifest.
        """
        errors: dict[str, int] = {}
        for record in records:
            for kind, count in record.errors.items():
                errors[kind] = errors.get(kind, 0) + count
        manifest = {
            "job": dict(identity),
            "rows": sum(record.rows for record in records),
            "errors": errors,
            **about,
            "parts": [record.to_json() for record in sorted(records, key=lambda record: record.part)],
        }
        self.folder.sweep()
        self.folder.put(MANIFEST, _writing(canonical(manifest)))
        self.folder.put(SUCCESS, _writing(b""))
        self.folder.remove([name for name in self.folder.names() if name.startswith(f"{JOURNAL}/") and name != LOCK])
        if not self.folder.at.is_local:  # a local journal goes with the lock
            self.folder.remove_folder(JOURNAL)
        return manifest

    def clear(self) -> None:
        """Remove the files that earlier batches wrote, and nothing else."""
        names = self.folder.names()
        if MANIFEST in names or JOB in names:
            outputs = [name for name in names if _WRITTEN.fullmatch(name)]
            self.folder.remove(sorted(outputs, key=lambda name: (name != SUCCESS, name in (MANIFEST, JOB))))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs off this output, where it is a folder of this machine; elsewhere two runs write the same
        files twice. Raises UsageError where another run is at work.
        """
        if not self.folder.at.is_local:
            yield
            return
        path = Path(self.folder.at.path, LOCK)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StorageError(f"{self.folder.at.shown}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
            if Path(self.folder.at.path, SUCCESS).exists():
                path.unlink(missing_ok=True)
                path.parent.rmdir()
        except BlockingIOError as error:
            raise UsageError(f"{self.folder.at.shown}: another run is at work on it; wait for it, or end it") from error
        finally:
            os.close(descriptor)


class Digesting:
    """A stream's bytes, counted and digested while they are written."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self.size = 0
        self.closed = False
        self._stream: IO[bytes] | None = None

    def over(self, stream: IO[bytes]) -> Any:
        self._stream = stream
        return self

    def write(self, data: Any) -> int:
        assert self._stream is not None
        self.sha256.update(data)
        count = memoryview(data).nbytes
        self.size += count
        self._stream.write(data)
        return count

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        """The folder flushes the file when it is whole."""

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """The folder closes the file."""


def _writing(data: bytes) -> Callable[[IO[bytes]], None]:
    def write(stream: IO[bytes]) -> None:
        stream.write(data)

    return write


def _parsed(text: bytes, name: str) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise StorageError(f"{name}: its journal is damaged; give --overwrite to begin anew") from error
    return value


def _part(value: Mapping[str, Any]) -> Part:
    return Part(value["number"], tuple(Span(**span) for span in value["spans"]))


def _difference(before: Mapping[str, Any], now: Mapping[str, Any], key: str) -> str:
    """The difference, as a phrase, where it is short."""
    if key == "input":
        was = {file["path"]: file for file in before.get("input", [])}
        names = {file["path"]: file for file in now["input"]}
        changed = [path for path in {**was, **names} if was.get(path) != names.get(path)]
        return f": {', '.join(changed[:3])}{' and more' if len(changed) > 3 else ''}" if changed else ""
    texts = [json.dumps(value, ensure_ascii=False) for value in (before.get(key), now[key])]
    return f": {texts[0]}, now {texts[1]}" if sum(map(len, texts)) < 160 else ""
