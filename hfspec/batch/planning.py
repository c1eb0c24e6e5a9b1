"""The plan of a job: what it would read and write, and how long it would take, by a sample that is answered."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

from hfspec.batch.columns import RowAnswers
from hfspec.batch.finding import found_files
from hfspec.batch.job import Job
from hfspec.batch.rows import InputRows, first_rows, gathered
from hfspec.batch.spans import Part
from hfspec.batch.work import answers_for, loaded
from hfspec.integrity.verification import read_manifest

SAMPLE_ROWS, SAMPLE_PARTS = 512, 4


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The plan of a job. ``rows``: how many are read, before the filter; ``exact`` says whether the format counts them,
    or the sample gives an estimate. ``rows_per_second``: the sample's rate, on this machine; ``seconds``: the model's
    work, the load apart; ``machines``: how many of this kind a deadline needs.
    """

    files: int
    size: int
    parts: int
    rows: int
    exact: bool
    columns: tuple[str, ...]
    rows_per_second: float
    seconds: float
    output_size: int
    machines: int | None


def plan(job: Job, deadline: float | None = None) -> BatchPlan:
    """Plan a job; nothing is written.

    Args:
        job: The job.
        deadline: Seconds in which it should be done.

    Returns:
        The plan, by the first rows of a few parts spread over the input.

    Raises:
        HfspecError: As run.
    """
    read_manifest(Path(job.artifact))
    with found_files(job.inputs, job.input_format, job.output) as files:
        return _planned(job, InputRows(files, job.sizes, job.where, job.sample), deadline)


def _planned(job: Job, rows: InputRows, deadline: float | None) -> BatchPlan:
    _ = rows.condition  # a wrong one is told before the model loads
    answers = answers_for(job, loaded(job), rows)
    parts = rows.parts()
    step = max(1, len(parts) // SAMPLE_PARTS)
    sample = _sampled(rows, answers, parts[::step][:SAMPLE_PARTS])
    counts = [part.rows for part in parts]
    exact = None not in counts
    total = sum(part.size for part in parts)
    count = sum(part.rows or 0 for part in parts) if exact else round(total / max(sample.input_size, 1) * sample.read)
    share = sample.taken / max(sample.read, 1)
    answered = count * share if job.limit is None else min(job.limit, count * share)
    rate = sample.taken / max(sample.seconds, 1e-9)
    seconds = answered / rate if rate else 0.0
    return BatchPlan(
        files=len(rows.files),
        size=total,
        parts=len(parts),
        rows=count,
        exact=exact,
        columns=tuple(f"{field.name}: {field.type}" for field in answers.schema),
        rows_per_second=round(rate, 1),
        seconds=seconds,
        output_size=round(sample.output_size / max(sample.taken, 1) * answered),
        machines=None if deadline is None else max(1, math.ceil(seconds / deadline)),
    )


@dataclass(slots=True)
class _Sample:
    """The cost of a sample. ``read``: rows before the filter; ``taken``: rows after it, which were answered."""

    read: int = 0
    taken: int = 0
    input_size: float = 0.0
    output_size: int = 0
    seconds: float = 0.0


def _sampled(rows: InputRows, answers: RowAnswers, parts: tuple[Part, ...]) -> _Sample:
    sample = _Sample()
    plain = InputRows(rows.files, rows.sizes)
    for part in parts:
        whole = sum(chunk.table.num_rows for chunk in plain.read(part))
        sample.read += whole
        sample.input_size += part.size
        fitting = sum(chunk.table.num_rows for chunk in rows.read(part))
        chunk = next(gathered(rows.read(part), SAMPLE_ROWS), None)
        if chunk is None or not fitting:
            continue
        few = first_rows(chunk, SAMPLE_ROWS)
        began = time.perf_counter()
        table = answers.answer(few.table, few.faults)
        scale = fitting / max(table.num_rows, 1)
        sample.seconds += (time.perf_counter() - began) * scale
        sample.taken += fitting
        sample.output_size += round(table.nbytes * scale)
    return sample
