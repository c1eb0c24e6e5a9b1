"""The engine on Spark: a part is a task, in a Python worker that loads the artifact once.

The workers write parts and their records into the same files as on one machine. When a worker or executor dies, Spark
starts its task again.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from hfspec.batch.work import Handed, Made, Seen, Work, Worker
from hfspec.errors import HfspecError, UsageError, WorldError
from hfspec.integrity.verification import read_manifest

FAILURES = (Py4JError, PySparkException)
TRIES = 4  # how often hfspec starts a task; Spark itself tries once where it runs in this process
QUIET = {"spark.log.level": "ERROR", "spark.ui.showConsoleProgress": "false"}
HERE = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1", "spark.ui.enabled": "false"}
_WORKERS: dict[str, Worker] = {}  # job's key -> the Worker at hand, in a Python worker of Spark's


@dataclass(frozen=True)
class Refused:
    """A worker's error, on its way to the driver."""

    error: HfspecError


@dataclass(frozen=True)
class Task:
    """The work of a Python worker on a part; None: on the artifact alone. ``work``: a broadcast of the job's Work."""

    work: Any
    key: str

    def __call__(self, handed: Handed | None) -> Any:
        try:
            worker = self._worker()
            return worker.about if handed is None else worker.make(handed)
        except HfspecError as error:
            return Refused(error)

    def _worker(self) -> Worker:
        if self.key not in _WORKERS:
            _WORKERS.clear()
            _WORKERS[self.key] = self.work.value.begin()
        return _WORKERS[self.key]


class Tasks:
    """The tasks of a job, in the session that is there, or in one of its own."""

    def __init__(self, work: Work) -> None:
        job, shared = work.job, work.shared()
        active = SparkSession.getActiveSession()
        self._session = active or _started(job.address)
        self._is_mine = active is None
        self._context = self._session.sparkContext
        own = read_manifest(Path(shared.job.artifact)).deployment.runtime.get("threads")
        threads = job.threads or own or int(self._context.getConf().get("spark.task.cpus", "1"))
        self._key = uuid.uuid4().hex
        self._work = self._context.broadcast(replace(shared, job=replace(shared.job, threads=threads)))
        self._slots = job.replicas or self._context.defaultParallelism

    @property
    def about(self) -> dict[str, Any]:
        """``Worker.about`` of the first worker."""
        answer: dict[str, Any] = self._done(None)
        return answer

    def make(self, handed: Iterator[Handed], count: int, tell: Callable[[Seen], None]) -> Iterator[Made]:
        """Each part, as it is made."""
        running: set[Future[Any]] = set()
        with ThreadPoolExecutor(self._slots) as threads:
            try:
                while True:
                    while len(running) < self._slots and (each := next(handed, None)) is not None:
                        running.add(threads.submit(self._done, each))
                    if not running:
                        return
                    ready, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in ready:
                        yield future.result()
            finally:
                if running:
                    self._context.cancelJobGroup(self._key)

    def close(self) -> None:
        """Leave Spark, and end it where this job started it."""
        self._work.unpersist()
        if self._is_mine:
            self._session.stop()

    def _done(self, handed: Handed | None) -> Any:
        """A task's answer. Raises the worker's HfspecError, and WorldError where the task fails again and again."""
        self._context.setJobGroup(self._key, "hfspec batch")
        for remaining in reversed(range(TRIES)):
            try:
                (answer,) = self._context.parallelize([handed], 1).map(Task(self._work, self._key)).collect()
            except FAILURES as error:
                if remaining == 0:
                    what = "loading the artifact" if handed is None else f"part {handed.part.number}"
                    reason = _first_line(error)
                    raise WorldError(f"Spark's workers died of {what}: {reason}; the same command goes on") from error
            else:
                if isinstance(answer, Refused):
                    raise answer.error
                return answer
        raise AssertionError("unreachable")


def _started(master: str | None) -> SparkSession:
    """A session of our own; raises UsageError where there is none to be had."""
    builder = SparkSession.builder.appName("hfspec batch")
    is_here = master is None or master.startswith("local")
    if master is not None:
        builder = builder.master(master)
    for key, value in {**QUIET, **(HERE if is_here else {})}.items():
        builder = builder.config(key, value)
    if is_here:
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    try:
        return builder.getOrCreate()
    except FAILURES as error:
        problem = f"Spark does not start{f' at {master}' if master else ''}: {_first_line(error)}"
        raise UsageError(
            f"{problem}; it needs Java 17 or later, and a master such as local[4] or spark://host:7077"
        ) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = next((line for line in lines if "Exception:" in line), lines[0] if lines else type(error).__name__)
    return message.removeprefix(": ").rstrip(".")
