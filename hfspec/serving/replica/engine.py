"""Batches over the rows of all requests.

Each step takes the row that has waited longest, counted in the work done for its request since it came, and fills a
batch with others that may share it: rows of the same settings and of about the same length. Nothing waits for a batch
to fill, and a request of many rows is worked in batches between those of others. Prompts are continued in one running
batch, which others join and leave at every step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hfspec.errors import HfspecError, InputError, OutputError, PredictionError, RowError
from hfspec.runtime.chat.openai_generation import OpenAIGeneration
from hfspec.runtime.generation.causal_generation import CausalGeneration
from hfspec.runtime.io import finite
from hfspec.runtime.predictor import Predictor
from hfspec.runtime.scheduling import batching
from hfspec.runtime.scheduling.batching import Budget, Item
from hfspec.serving.replica.job import EXPIRED, Ask, Form, Job, Told, Waiting
from hfspec.serving.replica.queue import Queue
from hfspec.settings.precedence import Settings

if TYPE_CHECKING:
    from hfspec.runtime.generation.running_batch.cohort import Step
    from hfspec.serving.replica.prompts import Prompts

AT_ONCE = 256  # rows of a job that are made ready together
AHEAD = 16  # full batches of a job that are made ready before any is answered


class ExpiredError(HfspecError):
    """The request's time is over."""


@dataclass(slots=True)
class Counters:
    """The engine's counters since it began. ``filled``: tokens of batches, padding counted; ``reused``: tokens of
    prompts that began as earlier ones; ``kept``: bytes that are held for them; ``step``: when the step at hand began,
    by the monotonic clock, None between steps.
    """

    batches: int = 0
    rows: int = 0
    tokens: int = 0
    filled: int = 0
    made: int = 0
    reused: int = 0
    kept: int = 0
    step: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)


class Engine:
    """One model's scheduler. All but ``counters`` belongs to one thread. ``bounds``: settings that bound a row, such as
    image_max_pixels; ``prefix_cache``: bytes in which the beginnings of prompts are kept.
    """

    def __init__(
        self,
        predictor: Predictor,
        told: Told,
        clock: Callable[[], float] = time.monotonic,
        bounds: Mapping[str, float] = MappingProxyType({}),
        prefix_cache: int = 0,
    ) -> None:
        self.predictor, self.told, self.clock, self.bounds = predictor, told, clock, bounds
        self.counters = Counters()
        self._jobs: dict[int, Job] = {}
        self._queue = Queue()
        runner = predictor.runner
        self._prompts = _prompts(runner, prefix_cache)
        self._budgets: dict[int, Budget] = {}
        self._predictors: dict[str, Predictor] = {}

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._jobs

    @property
    def joins(self) -> bool:
        """Whether prompts join and leave at every step."""
        return self._prompts is not None and self._prompts.merges

    def submit(self, ask: Ask) -> None:
        """Take a request; refuse at once one that cannot be answered."""
        try:
            prediction = self._predictor(ask.task).begin(
                ask.data,
                ask.params,
                ask.outputs,
                refuses=ask.form is Form.ROWS,
                protocol=ask.settings,
                sent=self.bounds,
            )
            if ask.form is Form.STREAM:
                prediction = _streaming(prediction)
        except HfspecError as error:
            self.told.error(ask.key, error)
            return
        job = Job(ask, prediction, self.clock(), virtual=self._queue.virtual)
        self._jobs[ask.key] = job
        if not job.rows:
            with self._ending(job):
                self._finish(job)

    def _predictor(self, task: str | None) -> Predictor:
        """The predictor for requests of this task; raises UsageError where the model does not answer them."""
        if task is None:
            return self.predictor
        if task not in self._predictors:
            self._predictors[task] = self.predictor.over_task(task)
        return self._predictors[task]

    def cancel(self, key: int) -> None:
        """Forget this request: nobody waits for it any more."""
        job = self._jobs.pop(key, None)
        if job is not None:
            self._forget(job)

    def step(self) -> None:
        """Make rows ready, compute one batch or one token of every prompt, and tell the callers the results."""
        self.counters.step = self.clock()
        try:
            self._expire()
            for job in list(self._jobs.values()):
                if job.ask.key in self._jobs:
                    with self._ending(job):
                        self._prepare(job)
            if self._prompts is not None and self._prompts.has_work:
                self._continue(self._prompts)
            if self._queue:
                self._batch()
        finally:
            self.counters.step = None

    @contextmanager
    def _ending(self, job: Job) -> Iterator[None]:
        """End the job at an error, whatever it is: a fault of the libraries costs one request, not those beside it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - as said
            self._end(job, error)

    def fail(self, error: BaseException) -> None:
        """End all requests with this error."""
        for job in list(self._jobs.values()):
            self._end(job, error)
        if self._prompts is not None:
            self._prompts.clear()

    def _expire(self) -> None:
        now = self.clock()
        for job in list(self._jobs.values()):
            if job.ask.deadline is not None and now > job.ask.deadline:
                self._end(job, ExpiredError(EXPIRED))

    def _prepare(self, job: Job) -> None:
        """Make the job's next rows ready, where few ready ones wait."""
        limit = AHEAD * max(1, self._budget(job.begun.call.settings).tokens)
        while not job.is_prepared and (not job.missing or job.tokens - (self._queue.virtual - job.virtual) < limit):
            belongs = job.begun.call.runner.belonging(job.begun.call.settings) is not None
            count = len(job.rows) if belongs else AT_ONCE
            rows = job.rows[job.prepared : job.prepared + count]
            start = self.clock()
            items = job.begun.call.prepare(rows)
            job.spent["tokenise"] = job.spent.get("tokenise", 0.0) + self.clock() - start
            job.prepared += len(rows)
            self._place(job, rows, items)
        self._tell(job)

    def _place(self, job: Job, rows: Sequence[Any], items: Sequence[Item[Any]]) -> None:
        """Put the items where they wait, and keep the errors of rows that have none."""
        counts: dict[int, int] = {}
        for item in items:
            index = counts.get(item.row, 0)
            counts[item.row] = index + 1
            waiting = Waiting(job, item, index, job.virtual + job.tokens)
            job.tokens += item.length
            if self._prompts is None or not self._prompts.take(waiting):
                self._queue.put(waiting)
        for number, count in counts.items():
            job.parts[number], job.missing[number] = [None] * count, count
        refused = job.refused
        for row in rows:
            if refused is not None and row.number in refused:
                job.refuse(row.number, refused.pop(row.number))
            elif row.number not in counts:
                job.results[row.number] = job.begun.call.runner.joined([], job.begun.call.settings)
        if job.ask.form is Form.STREAM:
            self._open(job, items)

    def _open(self, job: Job, items: Sequence[Item[Any]]) -> None:
        runner: Any = job.begun.call.runner
        job.stream = runner.streamed([item.content for item in items])
        self._piece(job, job.stream.opening())

    def _budget(self, settings: Settings) -> Budget:
        tokens = self.predictor.runner.budget(settings)
        return self._budgets.setdefault(tokens, Budget(tokens))

    def _batch(self) -> None:
        """Compute a batch and give its results to their jobs."""
        batch = self._queue.next_batch(self._budget, self.predictor.runner.pass_tokens)
        if batch[0].job.stream is not None:
            with self._ending(batch[0].job):
                self._stream_alone(batch[0])
        else:
            self._compute(batch)

    def _compute(self, batch: Sequence[Waiting]) -> None:
        """Compute items that may share a batch. An error that is no answer to one row ends the request that it is of:
        the requests are computed apart to find it.
        """
        call = batch[0].job.begun.call
        runner = call.runner
        items = [replace(waiting.item, row=number) for number, waiting in enumerate(batch)]
        refused: dict[int, RowError] = {}
        start = self.clock()
        for waiting in batch:
            waiting.job.started = waiting.job.started or start
        try:
            results = batching.run(
                items, self._budget(call.settings), call.launch, 0, runner.pass_tokens, refused=refused
            )
        except PredictionError as error:
            results = [None] * len(batch)
            refused = dict.fromkeys(range(len(batch)), RowError(str(error)))
        except Exception as error:  # noqa: BLE001 - a fault of the libraries costs one request, not those beside it
            jobs = {id(waiting.job): waiting.job for waiting in batch}.values()
            if len(jobs) == 1:
                self._end(batch[0].job, error)
                return
            for job in jobs:
                self._compute([waiting for waiting in batch if waiting.job is job])
            return
        self._count(batch, self.clock() - start)
        for number, (waiting, result) in enumerate(zip(batch, results, strict=True)):
            if number in refused:
                self._refuse(waiting.job, waiting.item.row, refused[number])
            elif waiting.item.row in waiting.job.missing:
                with self._ending(waiting.job):
                    waiting.job.take(waiting.item.row, waiting.index, result)
        self._tell_all({id(waiting.job): waiting.job for waiting in batch})

    def _stream_alone(self, waiting: Waiting) -> None:
        """All tokens of a choice, one after the other: its model's cache cannot be merged, or its settings need more
        than one step's scores.
        """
        job = waiting.job
        runner: Any = job.begun.call.runner
        tokens = runner.tokens(waiting.item.content)
        job.started = job.started or self.clock()
        try:
            while not self.told.has_left(job.ask.key):
                self._piece(job, job.stream.token(waiting.index, [next(tokens)]))
                self.counters.step = self.clock()
        except StopIteration as stop:
            self._ended(job, waiting, (stop.value,))
            self._tell(job)
        finally:
            tokens.close()

    def _count(self, batch: Sequence[Waiting], seconds: float) -> None:
        longest = max(waiting.item.length for waiting in batch)
        self.counters.batches += 1
        self.counters.rows += len(batch)
        self.counters.tokens += sum(waiting.item.length for waiting in batch)
        self.counters.filled += longest * len(batch)
        for job in {id(waiting.job): waiting.job for waiting in batch}.values():
            job.spent["model"] = job.spent.get("model", 0.0) + seconds

    def _refuse(self, job: Job, row: int, error: RowError) -> None:
        if job.ask.key not in self._jobs:
            return
        row_error = type(error)(error.reason, row, error.key)
        if job.refused is None:
            self._end(job, row_error)
        else:
            job.refuse(row, row_error)

    def _continue(self, prompts: Prompts) -> None:
        """Make one token of every prompt in the running batch, with the prompts that can join."""
        start = self.clock()
        touched = {}
        for waiting, step in prompts.step(self._budget, start):
            job = waiting.job
            if job.ask.key not in self._jobs:
                continue
            touched[id(job)] = job
            self.counters.made += len(step.tokens)
            with self._ending(job):
                try:
                    self._take(waiting, step)
                except OutputError as error:
                    self._refuse(job, waiting.item.row, error)
        self.counters.batches += 1
        self.counters.reused, self.counters.kept = prompts.prefixes.reused, prompts.prefixes.size
        self._queue.virtual = max(self._queue.virtual, prompts.virtual)
        self._tell_all(touched)
        for waiting in prompts.returned():  # the model's cache cannot be merged: whole batches, as predict has them
            if waiting.job.stream is not None:
                waiting.job.stream.begin_again(waiting.index)
            self._queue.put(waiting)

    def _take(self, waiting: Waiting, step: Step) -> None:
        """Raises OutputError where the step has no answer, or a token that has no text."""
        job = waiting.job
        if isinstance(step.error, finite.NotFiniteError):
            raise finite.not_finite(self.predictor.dtype, None) from step.error
        if step.error is not None:
            raise step.error
        if job.stream is not None and step.tokens:
            self._piece(job, job.stream.token(waiting.index, step.tokens))
        if step.ended is not None:
            self._ended(job, waiting, step.ended)

    def _ended(self, job: Job, waiting: Waiting, answers: tuple[Any, ...]) -> None:
        if job.stream is not None:
            self._piece(job, job.stream.end(waiting.index, answers[0]))
        if waiting.item.row in job.missing:
            runner: Any = job.begun.call.runner
            result = runner.finished(waiting.item, answers)
            job.take(waiting.item.row, waiting.index, result)

    def _tell_all(self, jobs: dict[int, Job]) -> None:
        for job in jobs.values():
            if job.ask.key in self._jobs:
                with self._ending(job):
                    self._tell(job)

    def _tell(self, job: Job) -> None:
        if job.ask.form is Form.ROWS and not self._tell_rows(job):
            return
        if job.is_done:
            self._finish(job)

    def _tell_rows(self, job: Job) -> bool:
        due = job.due()
        fits = job.begun.fits([result for _, result in due if not isinstance(result, RowError)])
        for number, result in due:
            refused = isinstance(result, RowError)
            answer = result if refused else job.begun.answer_of(result, number, fits=fits)
            self._piece(job, _row_error(answer) if isinstance(answer, RowError) else {"answer": answer})
            job.results[number] = None
        return job.ask.key in self._jobs

    def _piece(self, job: Job, value: Any) -> None:
        self.told.piece(job.ask.key, value)

    def _finish(self, job: Job) -> None:
        value = None
        start = self.clock()
        if job.ask.form is Form.WHOLE:
            value = job.begun.answer([job.results[row.number] for row in job.rows])
        elif job.stream is not None:
            self._piece(job, job.stream.closing())
        job.spent["write"] = self.clock() - start
        self._jobs.pop(job.ask.key, None)
        self.told.answer(job.ask.key, value, job.used(self.clock()))

    def _end(self, job: Job, error: BaseException) -> None:
        if self._jobs.pop(job.ask.key, None) is None:
            return
        self._forget(job)
        self.told.error(job.ask.key, error)

    def _forget(self, job: Job) -> None:
        """Remove the job's items from those that wait."""
        self._queue.drop(job)
        if self._prompts is not None:
            self._prompts.drop(job)


def _prompts(runner: Any, prefix_cache: int) -> Prompts | None:
    """The running batch of prompts, where the runner can continue them so; its module needs torch."""
    if not isinstance(runner, CausalGeneration) or not runner.joins:
        return None
    from hfspec.serving.replica.prompts import Prompts

    return Prompts(runner, prefix_cache)


def _row_error(error: RowError) -> dict[str, Any]:
    return {"error": {"kind": type(error).__name__, "message": error.reason, "row": error.row}}


def _streaming(prediction: Any) -> Any:
    """The call, when its one request can be streamed; raises InputError."""
    if len(prediction.rows) != 1 or not isinstance(prediction.call.runner, OpenAIGeneration):
        raise InputError("this task does not stream its answers; leave stream out.", key="stream")
    return prediction
