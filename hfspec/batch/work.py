"""The making of a part, in whichever process: the job, its rows, its journal and a predictor."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Queue
from typing import IO, Any, Self, TypeAlias

import pyarrow as pa

from hfspec.batch.columns import RowAnswers
from hfspec.batch.job import Job
from hfspec.batch.journal import Journal, Record
from hfspec.batch.rows import InputRows, first_rows, gathered
from hfspec.batch.spans import Chunk, Part
from hfspec.batch.writers import WRITERS, check
from hfspec.errors import UsageError, VerificationError
from hfspec.runtime.load import load
from hfspec.runtime.predictor import Predictor

# Small, since nothing is computed any more while the last of them are written.
WRITE_BYTES, WRITE_ROWS = 4 << 20, 32_768
GATHERED = 2048  # rows of small files, read to be answered together


@dataclass(frozen=True, slots=True)
class Handed:
    """A part to make. ``most``: only so many of its rows, the first ones; None for all."""

    part: Part
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """Progress of the part at hand: rows answered, those with an error, and tokens that the model has read for them."""

    rows: int
    errors: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Made:
    """A part that is written and recorded, and the tokens that it took."""

    record: Record
    tokens: int


Told: TypeAlias = Callable[[Seen], None]


@dataclass(frozen=True)
class Work:
    """A job and what all its workers need; it can be pickled. ``digest``: the digest of the artifact's manifest."""

    job: Job
    digest: str
    rows: InputRows
    journal: Journal

    def shared(self) -> Work:
        """The same work for processes of other machines, whose current folder is another.

        Raises:
            UsageError: The input is standard input, which they cannot read.
        """
        if any(file.place.shown == "-" for file in self.rows.files):
            raise UsageError(f"- is standard input, which is read by this machine alone, not by {self.job.engine}")
        return replace(self, job=replace(self.job, artifact=str(Path(self.job.artifact).absolute())))

    def begin(self) -> Worker:
        """Load the artifact; raises as load and RowAnswers do."""
        return Worker(self)

    def limited(self, handed: Handed) -> Iterator[Chunk]:
        """The rows of a part that are wanted, in order."""
        remaining = handed.most
        if remaining == 0:
            return
        for chunk in self.rows.read(handed.part):
            yield chunk if remaining is None else first_rows(chunk, remaining)
            if remaining is not None:
                remaining -= min(remaining, chunk.table.num_rows)
                if not remaining:
                    return


class Worker:
    """A maker of parts, one after the other; reading, computing and writing overlap."""

    def __init__(self, work: Work) -> None:
        self.work = work
        predictor = loaded(work.job)
        if predictor.manifest.digest != work.digest:
            where = work.job.artifact
            raise VerificationError(f"{where} is another artifact here than where the job was begun; put the same here")
        self.answers = answers_for(work.job, predictor, work.rows)

    @property
    def about(self) -> dict[str, Any]:
        """The manifest's entries on the answers: their columns, and the embedding space where there is one."""
        fingerprint = self.answers.fingerprint
        space = {"fingerprint": fingerprint} if fingerprint else {}
        return {**space, "columns": [{"name": one.name, "type": str(one.type)} for one in self.answers.schema]}

    def make(self, handed: Handed, tell: Told = lambda _: None) -> Made:
        """Answer the rows of a part, write it and record it.

        Args:
            handed: The part.
            tell: Called with the part's progress after each window of rows; an exception from it ends the part.

        Returns:
            The part's record and tokens.

        Raises:
            StorageError: A place cannot be read or written.
        """
        writer, ending = WRITERS[self.work.job.output_format]
        before = self.answers.tokens

        def write(stream: IO[bytes]) -> tuple[int, Mapping[str, int]]:
            file = writer(stream, self.answers.schema)
            counted = self._written(handed, tell, file.write)
            file.close()
            return counted

        record = self.work.journal.write(handed.part, ending, write)
        return Made(record, self.answers.tokens - before)

    def _written(self, handed: Handed, tell: Told, write: Callable[[pa.Table], None]) -> tuple[int, Mapping[str, int]]:
        """Answer the rows of a part and write them; return how many there are, and the count of each kind of error."""
        kinds: Counter[str] = Counter()
        count, before = 0, self.answers.tokens
        tables: list[pa.Table] = []
        with Behind(write) as behind:
            for chunk in ahead(gathered(self.work.limited(handed), GATHERED)):
                for table in self.answers.windows(chunk.table, chunk.faults):
                    tables.append(table)
                    count += table.num_rows
                    kinds.update(self._errors(table))
                    tell(Seen(count, sum(kinds.values()), self.answers.tokens - before))
                    if sum(each.nbytes for each in tables) > WRITE_BYTES or sum(map(len, tables)) >= WRITE_ROWS:
                        behind.put(pa.concat_tables(tables).combine_chunks())
                        tables = []
            behind.put(pa.concat_tables([self.answers.schema.empty_table(), *tables]).combine_chunks())
        return count, kinds

    def _errors(self, table: pa.Table) -> list[str]:
        """The kind of each row's error, for the rows that have one."""
        errors = table.column(self.answers.error_column)
        if errors.null_count == table.num_rows:
            return []
        return [error["kind"] for error in errors.to_pylist() if error is not None]


def loaded(job: Job) -> Predictor:
    """The job's predictor; raises as load."""
    return load(
        job.artifact,
        model_config=dict(job.settings),
        device=job.device,
        dtype=job.dtype,
        backend=job.backend,
        threads=job.threads,
    )


def answers_for(job: Job, predictor: Predictor, rows: InputRows) -> RowAnswers:
    """The RowAnswers of the job; raises UsageError and ParamsError."""
    answers = RowAnswers(
        predictor,
        rows.schema,
        columns=job.columns,
        params=dict(job.params) or None,
        outputs=job.outputs,
        keep=job.keep,
    )
    check(job.output_format, answers.schema)
    return answers


def ahead(chunks: Iterator[Chunk], most: int = 2) -> Iterator[Chunk]:
    """The same chunks, each read by a thread while the one before is worked on; at most ``most`` wait."""
    waiting: Queue[Any] = Queue(most)
    over = threading.Event()

    def fill() -> None:
        try:
            for chunk in chunks:
                waiting.put(chunk)
                if over.is_set():
                    return
            waiting.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again where the chunks are taken
            waiting.put(error)

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        over.set()
        while thread.is_alive():
            while not waiting.empty():
                waiting.get()
            thread.join(0.05)


class Behind:
    """Tables written by a thread while the next are computed; at most two wait. Its exception is raised here."""

    def __init__(self, write: Callable[[pa.Table], None]) -> None:
        self._write = write
        self._waiting: Queue[pa.Table | None] = Queue(2)
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.put(None)
        self._thread.join()
        if self._fault is not None:
            raise self._fault

    def put(self, table: pa.Table) -> None:
        """Queue the table for the thread; raises the exception of an earlier table."""
        if self._fault is not None:
            raise self._fault
        self._waiting.put(table)

    def _run(self) -> None:
        while (table := self._waiting.get()) is not None:
            if self._fault is None:
                try:
                    self._write(table)
                except BaseException as error:  # noqa: BLE001 - raised again where tables are given
                    self._fault = error
