"""A job on this machine: its parts one after the other; reading, computing and writing overlap."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import IO, Any, Self

import pyarrow as pa

from hfspec.batch.columns import RowAnswers, input_columns
from hfspec.batch.filters import parsed
from hfspec.batch.finding import found_files
from hfspec.batch.job import Job
from hfspec.batch.journal import Journal, Record
from hfspec.batch.places import Folder, place
from hfspec.batch.rows import InputRows, first_rows, gathered
from hfspec.batch.spans import Chunk, Part
from hfspec.batch.writers import WRITERS
from hfspec.errors import ErrorLimitError
from hfspec.integrity.verification import read_manifest
from hfspec.runtime.load import load
from hfspec.runtime.predictor import Predictor
from hfspec.tasks import table

WRITE_BYTES, WRITE_ROWS = 16 << 20, 32_768
GATHERED = 2048  # rows of small files, read to be answered together


@dataclass(frozen=True, slots=True)
class Told:
    """How far a job is. ``tokens``: those that the model was given, padding apart, by this run."""

    rows: int
    errors: int
    tokens: int
    done: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job. ``manifest``: None where it was stopped; ``parts``: how many are whole, ``of`` how many."""

    manifest: Mapping[str, Any] | None
    parts: int
    of: int
    did_nothing: bool = False


def run(
    job: Job,
    *,
    overwrite: bool = False,
    stop: threading.Event | None = None,
    tell: Callable[[Told], None] = lambda _: None,
) -> Outcome:
    """Do the job, or what is left of it.

    Args:
        job: What to do.
        overwrite: Whether what another job wrote there is taken away first.
        stop: Once it is set the part at hand is finished, and no further one is begun.
        tell: Is told how far the job is, after each window of rows.

    Returns:
        What became of it.

    Raises:
        UsageError: The job cannot be, or its output is another job's, or another run's that is at work.
        ErrorLimitError: More rows failed than ``job.max_errors``.
        StorageError: A place cannot be read or written. The same job goes on where it was.
        HfspecError: As load.
    """
    with found_files(job.inputs, job.input_format) as files:
        rows = InputRows(files, job.sizes, parsed(job.where), job.sample)
        return _done(job, rows, tell, stop or threading.Event(), overwrite=overwrite)


def _done(
    job: Job, rows: InputRows, tell: Callable[[Told], None], stop: threading.Event, *, overwrite: bool
) -> Outcome:
    journal = Journal(Folder(place(job.output)))
    manifest = read_manifest(Path(job.artifact))
    task = table.find(manifest.deployment.library, manifest.deployment.task)
    if task is not None:  # before the model is loaded, which tells the same
        input_columns(manifest, task, rows.schema, job.columns, job.keep or ())
    identity = job.identity(manifest, rows.files)
    with journal.locked():
        if overwrite:
            journal.clear()
        done = journal.finished(identity)
        if done is not None:
            return Outcome(done, len(done["parts"]), len(done["parts"]), did_nothing=True)
        predictor = loaded(job)
        answers = answers_for(job, predictor, rows)
        parts = journal.begin(identity, rows.parts)
        return _Run(job, rows, answers, journal, tell).over(parts, identity, stop)


def loaded(job: Job) -> Predictor:
    """The job's predictor; raises as load."""
    return load(job.artifact, model_config=dict(job.settings), device=job.device, dtype=job.dtype, backend=job.backend)


def answers_for(job: Job, predictor: Predictor, rows: InputRows) -> RowAnswers:
    """What answers the job's rows; raises UsageError and ParamsError."""
    return RowAnswers(
        predictor,
        rows.schema,
        columns=job.columns,
        params=dict(job.params) or None,
        outputs=job.outputs,
        keep=job.keep,
    )


class _Run:
    """One run of a job; it counts what it does."""

    def __init__(
        self, job: Job, rows: InputRows, answers: RowAnswers, journal: Journal, tell: Callable[[Told], None]
    ) -> None:
        self.job, self.rows, self.answers, self.journal, self.tell = job, rows, answers, journal, tell
        self.count = self.errors = 0
        self.size = self.total = 0

    def over(self, parts: tuple[Part, ...], identity: Mapping[str, Any], stop: threading.Event) -> Outcome:
        records = self.journal.records()
        self.total = sum(part.size for part in parts)
        for record in records.values():
            self._counted(record)
        self.size = sum(part.size for part in parts if part.number in records)
        for part in parts:
            if part.number in records:
                continue
            if stop.is_set():
                return Outcome(None, len(records), len(parts))
            left = None if self.job.limit is None else max(0, self.job.limit - self.count)
            records[part.number] = self._part(part, left)
            self.size += part.size
        self._check(at_end=True)
        return Outcome(self._finish(identity, list(records.values())), len(parts), len(parts))

    def _part(self, part: Part, left: int | None) -> Record:
        writer, ending = WRITERS[self.job.output_format]

        def write(stream: IO[bytes]) -> tuple[int, Mapping[str, int]]:
            made = writer(stream, self.answers.schema)
            told = self._written(part, left, made.write)
            made.close()
            return told

        return self.journal.write(part, ending, write)

    def _written(
        self, part: Part, left: int | None, write: Callable[[pa.Table], None]
    ) -> tuple[int, Mapping[str, int]]:
        """Answer the rows of a part and write them; how many there are, and the errors."""
        kinds: Counter[str] = Counter()
        count = 0
        held: list[pa.Table] = []
        with Behind(write) as behind:
            for chunk in ahead(gathered(self._limited(part, left), GATHERED)):
                for made in self.answers.windows(chunk.table, chunk.faults):
                    held.append(made)
                    count += made.num_rows
                    self._tally(made, kinds, part)
                    if sum(each.nbytes for each in held) > WRITE_BYTES or sum(map(len, held)) >= WRITE_ROWS:
                        behind.put(pa.concat_tables(held).combine_chunks())
                        held = []
            behind.put(pa.concat_tables([self.answers.schema.empty_table(), *held]).combine_chunks())
        return count, kinds

    def _limited(self, part: Part, left: int | None) -> Iterator[Chunk]:
        if left == 0:
            return
        for chunk in self.rows.read(part):
            yield chunk if left is None else first_rows(chunk, left)
            if left is not None:
                left -= min(left, chunk.table.num_rows)
                if not left:
                    return

    def _tally(self, table: pa.Table, kinds: Counter[str], part: Part) -> None:
        errors = table.column(self.answers.error_column)
        failed = table.num_rows - errors.null_count
        if failed:
            kinds.update(error["kind"] for error in errors.to_pylist() if error is not None)
        self.count += table.num_rows
        self.errors += failed
        share = min(1.0, (self.size + part.size / 2) / self.total) if self.total else 1.0
        self.tell(Told(self.count, self.errors, self.answers.tokens, share))
        self._check(at_end=False)

    def _counted(self, record: Record) -> None:
        self.count += record.rows
        self.errors += sum(record.errors.values())

    def _check(self, *, at_end: bool) -> None:
        most = self.job.max_errors
        if most is not None and most.exceeded(self.errors, self.count, at_end=at_end):
            raise ErrorLimitError(
                f"{self.errors} of {self.count} rows could not be answered, more than --max-errors {most.text}; the"
                " error column of the parts that are whole says why, and the same command with a higher limit goes on"
            )

    def _finish(self, identity: Mapping[str, Any], records: list[Record]) -> Mapping[str, Any]:
        fingerprint = self.answers.fingerprint
        about = {"fingerprint": fingerprint} if fingerprint else {}
        columns = [{"name": field.name, "type": str(field.type)} for field in self.answers.schema]
        return self.journal.finish(identity, records, {**about, "columns": columns})


def ahead(chunks: Iterator[Chunk], most: int = 2) -> Iterator[Chunk]:
    """The same, read by a thread while the one before is worked on; at most ``most`` wait."""
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
        while (found := waiting.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found
    finally:
        over.set()
        while thread.is_alive():
            while not waiting.empty():
                waiting.get()
            thread.join(0.05)


class Behind:
    """Tables written by a thread while the next are computed; at most two wait. What it raises is raised here."""

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
        """Let the table be written; raises what an earlier one met with."""
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
