"""The engine on a Ray cluster: actors that load the artifact once, each of which gets one part after the other.

The actors write parts and their records into the same files as on one machine. When an actor or its node dies, another
actor gets its part.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from hfspec.batch.job import Job
from hfspec.batch.work import Handed, Made, Seen, Work, Worker
from hfspec.errors import HfspecError, UsageError, WorldError
from hfspec.integrity.verification import read_manifest
from hfspec.library_calls.cluster import connect, first_line

LOOK = 0.5  # seconds between two looks at whether another actor is needed
DEATHS = 4  # so many actors may die of one part, or while they load
LOADING = -1  # stands for a part's number while an actor loads


class Actor:
    """A worker in a process of the cluster."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._worker: Worker | None = None

    def begin(self) -> dict[str, Any]:
        """Load the artifact; return ``Worker.about``."""
        self._worker = self._work.begin()
        return self._worker.about

    def make(self, handed: Handed) -> Made:
        """Make a part."""
        assert self._worker is not None
        return self._worker.make(handed)


@dataclass(frozen=True, slots=True)
class Task:
    """The current work of an actor: a part, or None while it loads."""

    actor: Any
    handed: Handed | None = None

    @property
    def number(self) -> int:
        return LOADING if self.handed is None else self.handed.part.number


class Pool:
    """The actors of a job."""

    def __init__(self, work: Work) -> None:
        job = work.job
        self._is_mine = not ray.is_initialized()
        self._needs = _needs(job)
        self._bounds = (job.replicas, job.replicas) if job.replicas else job.autoscaling
        shared = work.shared()
        if self._is_mine:
            connect(job.address or "auto")
        device = "cuda" if self._needs["GPU"] and job.device is None else job.device
        self._work = ray.put(replace(shared, job=replace(shared.job, threads=int(self._needs["CPU"]), device=device)))
        self._tasks: dict[Any, Task] = {}
        self._idle: list[Any] = []
        self._again: deque[Handed] = deque()
        self._deaths: Counter[int] = Counter()
        self._about: dict[str, Any] = {}

    @property
    def about(self) -> dict[str, Any]:
        """``Worker.about`` of the first actor."""
        if self._bounds is None and not self._room():
            most = {name: max((node.get(name, 0) for node in _nodes()), default=0) for name in self._needs}
            raise UsageError(
                f"no node of the cluster has {_amounts(self._needs)} for a worker; at most {_amounts(most)}"
            )
        while not self._about:
            self._grow(self._bounds[0] if self._bounds else 1)
            self._look()
        return self._about

    def make(self, handed: Iterator[Handed], count: int, tell: Callable[[Seen], None]) -> Iterator[Made]:
        """Each part, as it is made."""
        remaining = count
        while remaining:
            if not self._hand_out(handed):
                remaining = len(self._again) + sum(task.handed is not None for task in self._tasks.values())
            self._grow(remaining)
            for result in self._look():
                remaining -= 1
                yield result

    def close(self) -> None:
        """End the actors, and leave the cluster."""
        for actor in [*self._idle, *(task.actor for task in self._tasks.values())]:
            ray.kill(actor)
        if self._is_mine:
            ray.shutdown()

    def _hand_out(self, handed: Iterator[Handed]) -> bool:
        """Give each idle actor a part; False where there are no more, and then the idle actors are ended."""
        while self._idle:
            each = self._again.popleft() if self._again else next(handed, None)
            if each is None:
                while self._idle:
                    ray.kill(self._idle.pop())
                return False
            actor = self._idle.pop()
            self._tasks[actor.make.remote(each)] = Task(actor, each)
        return True

    def _grow(self, count: int) -> None:
        """Start actors for so many parts: the least number at once, more one by one, as there is room for them."""
        least, most = self._bounds or (max(1, self._room()),) * 2
        target = min(most, count)
        while (there := len(self._idle) + len(self._tasks)) < target and (there < least or not self._is_loading()):
            options = {"num_cpus": self._needs["CPU"], "num_gpus": self._needs["GPU"], "scheduling_strategy": "SPREAD"}
            actor = ray.remote(Actor).options(**options).remote(self._work)
            self._tasks[actor.begin.remote()] = Task(actor)

    def _is_loading(self) -> bool:
        return any(task.handed is None for task in self._tasks.values())

    def _room(self) -> int:
        """How many actors the cluster's nodes can hold."""
        needs = [(name, need) for name, need in self._needs.items() if need]
        return sum(min(int(has.get(name, 0) // need) for name, need in needs) for has in _nodes())

    def _look(self) -> list[Made]:
        """The parts that became whole; waits for the first at most LOOK seconds."""
        results = []
        ready, _ = ray.wait(list(self._tasks), timeout=LOOK) if self._tasks else ([], [])
        for reference in ready:
            task = self._tasks.pop(reference)
            answer = self._answer(reference, task)
            if answer is not None:
                self._idle.append(task.actor)
                if isinstance(answer, Made):
                    results.append(answer)
                else:
                    self._about, self._deaths[LOADING] = answer, 0
        return results

    def _answer(self, reference: Any, task: Task) -> Any:
        """An actor's answer; None where the actor is lost. Raises the worker's HfspecError."""
        try:
            return ray.get(reference)
        except RayTaskError as error:
            if isinstance(error.cause, HfspecError):
                raise error.cause from None
            raise
        except RayError as error:
            self._lost(task, error)
            return None

    def _lost(self, task: Task, error: RayError) -> None:
        """Have another actor do the lost one's task; raises WorldError where too many have died of it."""
        ray.kill(task.actor)  # one that cannot be reached must not go on
        self._deaths[task.number] += 1
        if self._deaths[task.number] >= DEATHS:
            what = "loading the artifact" if task.handed is None else f"part {task.number}"
            raise WorldError(
                f"{DEATHS} workers died of {what}: {first_line(error)}; where memory is what they lack, give fewer"
                " `replicas`; the same command goes on"
            )
        if task.handed is not None:
            self._again.append(task.handed)


def _needs(job: Job) -> dict[str, float]:
    """The CPUs and GPUs of an actor."""
    runtime = read_manifest(Path(job.artifact)).deployment.runtime
    device = job.device or runtime.get("device") or ""
    gpus = float(device.startswith("cuda")) if job.gpus is None else job.gpus
    return {"CPU": job.threads or runtime.get("threads") or 1, "GPU": gpus}


def _nodes() -> list[dict[str, float]]:
    """The resources of each node of the cluster."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _amounts(needs: dict[str, float]) -> str:
    return " and ".join(f"{need:g} {name}" for name, need in needs.items() if need)
