"""What a job would read and write, and how long it would take, by a sample that is answered."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

from hfspec.batch.columns import RowAnswers
from hfspec.batch.filters import parsed
from hfspec.batch.finding import found_files
from hfspec.batch.job import Job
from hfspec.batch.rows import InputRows, first_rows, gathered
from hfspec.batch.spans import Part
from hfspec.batch.work import answers_for, loaded
from hfspec.integrity.verification import read_manifest

SAMPLE_ROWS, SAMPLE_PARTS = 512, 4


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What a job would do. ``rows``: those that are read, before the filter, counted where the format tells, else
    estimated from the sample, as ``exact`` says; ``rows_per_second``: of the sample, on this machine; ``seconds``: of
    the model's work, the load apart; ``machines``: of this kind that a deadline needs.
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
    """Find out what a job would do; nothing is written.

    Args:
        job: The job.
        deadline: Seconds in which it should be done.

    Returns:
        The plan, by the first rows of a few parts spread over the input.

    Raises:
        HfspecError: As run.
    """
    read_manifest(Path(job.artifact))
    with found_files(job.inputs, job.input_format) as files:
        return _planned(job, InputRows(files, job.sizes, parsed(job.where), job.sample), deadline)


def _planned(job: Job, rows: InputRows, deadline: float | None) -> BatchPlan:
    answers = answers_for(job, loaded(job), rows)
    parts = rows.parts()
    step = max(1, len(parts) // SAMPLE_PARTS)
    found = _sampled(rows, answers, parts[::step][:SAMPLE_PARTS])
    known = [part.rows for part in parts]
    exact = None not in known
    total = sum(part.size for part in parts)
    count = sum(part.rows or 0 for part in parts) if exact else round(total / max(found.input_size, 1) * found.read)
    share = found.taken / max(found.read, 1)
    wanted = count * share if job.limit is None else min(job.limit, count * share)
    rate = found.taken / max(found.seconds, 1e-9)
    seconds = wanted / rate if rate else 0.0
    return BatchPlan(
        files=len(rows.files),
        size=total,
        parts=len(parts),
        rows=count,
        exact=exact,
        columns=tuple(f"{field.name}: {field.type}" for field in answers.schema),
        rows_per_second=round(rate, 1),
        seconds=seconds,
        output_size=round(found.output_size / max(found.taken, 1) * wanted),
        machines=None if deadline is None else max(1, math.ceil(seconds / deadline)),
    )


@dataclass(slots=True)
class _Sample:
    """What a sample took. ``read``: rows before the filter; ``taken``: those that were answered."""

    read: int = 0
    taken: int = 0
    input_size: float = 0.0
    output_size: int = 0
    seconds: float = 0.0


def _sampled(rows: InputRows, answers: RowAnswers, parts: tuple[Part, ...]) -> _Sample:
    found = _Sample()
    plain = InputRows(rows.files, rows.sizes)
    for part in parts:
        whole = sum(chunk.table.num_rows for chunk in plain.read(part))
        found.read += whole
        found.input_size += part.size
        chosen = sum(chunk.table.num_rows for chunk in rows.read(part))
        chunk = next(gathered(rows.read(part), SAMPLE_ROWS), None)
        if chunk is None or not chosen:
            continue
        few = first_rows(chunk, SAMPLE_ROWS)
        began = time.perf_counter()
        table = answers.answer(few.table, few.faults)
        scale = chosen / max(table.num_rows, 1)
        found.seconds += (time.perf_counter() - began) * scale
        found.taken += chosen
        found.output_size += round(table.nbytes * scale)
    return found
