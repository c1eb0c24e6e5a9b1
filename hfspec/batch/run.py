"""A job from its beginning to its end: the parts that are left are handed to an engine, and counted as they come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfspec.batch.columns import input_columns
from hfspec.batch.engines.table import Engine, row_of
from hfspec.batch.finding import found_files
from hfspec.batch.job import Job
from hfspec.batch.journal import Journal, Record
from hfspec.batch.places import Folder, place
from hfspec.batch.rows import InputRows
from hfspec.batch.spans import Part
from hfspec.batch.work import Handed, Made, Seen, Work
from hfspec.errors import ErrorLimitError
from hfspec.integrity.verification import read_manifest
from hfspec.tasks import table

NOTHING = Seen(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Told:
    """How far a job is. ``tokens``: how many the model has read in this run, padding apart."""

    rows: int
    errors: int
    tokens: int
    done: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a job. ``manifest``: None where it was stopped; ``parts``: how many are whole, ``of`` how many."""

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
    """Do the job, or the rest of it.

    Args:
        job: The job.
        overwrite: Whether another job's output there is removed first.
        stop: Once it is set the parts at hand are finished, and no further one is begun.
        tell: Called with the progress after each window of rows, or after each part that another process made.

    Returns:
        Its outcome.

    Raises:
        UsageError: The job cannot be, its engine is not there, or its output is another job's, or another run's that
            is at work.
        ErrorLimitError: More rows failed than ``job.max_errors``.
        StorageError: A place cannot be read or written. The same job goes on where it was.
        WorldError: A cluster's workers die of a part again and again.
        HfspecError: As load.
    """
    row_of(job.engine).check(job)
    with found_files(job.inputs, job.input_format, job.output) as files:
        rows = InputRows(files, job.sizes, job.where, job.sample)
        return _done(job, rows, tell, stop or threading.Event(), overwrite=overwrite)


def _done(
    job: Job, rows: InputRows, tell: Callable[[Told], None], stop: threading.Event, *, overwrite: bool
) -> Outcome:
    journal = Journal(Folder(place(job.output)))
    manifest = read_manifest(Path(job.artifact))
    _ = rows.condition  # a wrong one is told before the model loads
    task = table.find(manifest.deployment.library, manifest.deployment.task)
    if task is not None:  # a wrong column is told before the model loads
        input_columns(manifest, task, rows.schema, job.columns, job.keep or ())
    identity = job.identity(manifest, rows.files)
    with journal.locked():
        if overwrite:
            journal.clear()
        result = journal.finished(identity)
        if result is not None:
            return Outcome(result, len(result["parts"]), len(result["parts"]), did_nothing=True)
        work = Work(job, manifest.digest, rows, journal)
        with closing(row_of(job.engine).open(work)) as engine:
            about = engine.about
            parts = journal.begin(identity, rows.parts)
            return _Run(work, parts, tell, stop).by(engine, identity, about)


class _Run:
    """One run of a job; it counts parts, rows, errors and tokens."""

    def __init__(
        self, work: Work, parts: tuple[Part, ...], tell: Callable[[Told], None], stop: threading.Event
    ) -> None:
        self.work, self.job, self.parts, self.tell, self.stop = work, work.job, parts, tell, stop
        self.records = work.journal.records()
        self.total = sum(part.size for part in parts)
        self.sizes = {part.number: part.size for part in parts}
        self.size = sum(self.sizes[number] for number in self.records)
        self.rows = sum(record.rows for record in self.records.values())
        self.errors = sum(map(_errors, self.records.values()))
        self.tokens = self.at_hand = 0

    def by(self, engine: Engine, identity: Mapping[str, Any], about: Mapping[str, Any]) -> Outcome:
        count = len(self.parts) - len(self.records)
        for result in engine.make(self._handed(), count, self._seen):
            self._add(result)
        whole = len(self.records)
        if whole < len(self.parts):
            return Outcome(None, whole, len(self.parts))
        self._check(NOTHING, at_end=True)
        return Outcome(self.work.journal.finish(identity, list(self.records.values()), about), whole, whole)

    def _handed(self) -> Iterator[Handed]:
        """The parts that are not whole yet, in order, until the run is stopped."""
        remaining = self.job.limit
        for part in self.parts:
            handed = Handed(part, remaining)
            if part.number not in self.records:
                if self.stop.is_set():
                    return
                self.at_hand = part.size
                yield handed
            if remaining is not None:
                remaining = max(0, remaining - self._rows_of(handed))

    def _rows_of(self, handed: Handed) -> int:
        """How many rows of a part come out, though it may be made elsewhere at this moment."""
        record = self.records.get(handed.part.number)
        if record is not None:
            return record.rows
        return sum(chunk.table.num_rows for chunk in self.work.limited(handed))

    def _add(self, result: Made) -> None:
        record = result.record
        self.work.journal.check(record)
        self.records[record.part] = record
        self.size += self.sizes[record.part]
        self.rows, self.errors = self.rows + record.rows, self.errors + _errors(record)
        self.tokens += result.tokens
        self._seen(NOTHING)

    def _seen(self, progress: Seen) -> None:
        """Tell how far the job is: the parts that are whole, and the ``progress`` of the part at hand."""
        size = self.size + (self.at_hand / 2 if progress.rows else 0)
        share = min(1.0, size / self.total) if self.total else 1.0
        self.tell(Told(self.rows + progress.rows, self.errors + progress.errors, self.tokens + progress.tokens, share))
        self._check(progress, at_end=False)

    def _check(self, progress: Seen, *, at_end: bool) -> None:
        most, errors, rows = self.job.max_errors, self.errors + progress.errors, self.rows + progress.rows
        if most is not None and most.exceeded(errors, rows, at_end=at_end):
            raise ErrorLimitError(
                f"{errors} of {rows} rows could not be answered, more than --max-errors {most.text}; the"
                " error column of the parts that are whole says why, and the same command with a higher limit goes on"
            )


def _errors(record: Record) -> int:
    return sum(record.errors.values())
