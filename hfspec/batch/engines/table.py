"""The engines of a batch: a row each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from hfspec.errors import UsageError
from hfspec.ir.lazy import named

if TYPE_CHECKING:
    from hfspec.batch.job import Job
    from hfspec.batch.work import Handed, Made, Seen, Work


class Engine(Protocol):
    """Processes that make the parts of one job. The caller of ``Row.open`` closes it."""

    @property
    def about(self) -> dict[str, Any]:
        """``Worker.about`` of a worker that has loaded the artifact. An error of the artifact, the params or the
        settings is raised here, before anything is written.
        """

    def make(self, handed: Iterator[Handed], count: int, tell: Callable[[Seen], None]) -> Iterator[Made]:
        """Have each part made by ``Worker.make``, in any order; a worker that dies costs only time.

        Args:
            handed: The parts, each taken when a worker is free; the iterator ends early when the job is stopped.
            count: How many there are at most.
            tell: Called with the progress of the part at hand, where there is one at a time.

        Returns:
            Each part that is whole.
        """

    def close(self) -> None:
        """End the processes that the engine started."""


@dataclass(frozen=True, slots=True)
class Row:
    """An engine. ``opens``: ``module:NAME`` of a callable that takes the Work; ``extra``: the extra that it needs;
    ``keys``: the cluster keys of a job that it takes.
    """

    opens: str
    extra: str | None = None
    keys: tuple[str, ...] = ()

    def open(self, work: Work) -> Engine:
        """The engine, at work on a job; raises UsageError where it is not installed or not there."""
        try:
            make = named(self.opens)
        except ModuleNotFoundError as error:
            raise UsageError(
                f"--engine {work.job.engine} needs more packages ({error.name}): pip install 'hfspec[{self.extra}]'"
            ) from error
        engine: Engine = make(work)
        return engine

    def check(self, job: Job) -> None:
        """Raises UsageError where the job has a key that this engine does not take."""
        keys = [key for key in CLUSTER_KEYS if key not in self.keys and getattr(job, key) is not None]
        if keys:
            problem = f"{keys[0]} is for a cluster, and the engine is {job.engine}"
            raise UsageError(f"{problem}; give --engine {able(keys[0])}, or leave it out")


_HERE = "hfspec.batch.engines"
ENGINES: Mapping[str, Row] = MappingProxyType(
    {
        "local": Row(f"{_HERE}.local:Local"),
        "ray": Row(f"{_HERE}.ray:Pool", "ray", ("address", "replicas", "autoscaling", "gpus")),
        "spark": Row(f"{_HERE}.spark:Tasks", "spark", ("address", "replicas")),
    }
)
CLUSTER_KEYS = tuple(dict.fromkeys(key for row in ENGINES.values() for key in row.keys))


def row_of(name: str) -> Row:
    """The engine of this name; raises UsageError where there is none."""
    if name not in ENGINES:
        raise UsageError(f"--engine {name}: expected {' or '.join(ENGINES)}")
    return ENGINES[name]


def able(key: str) -> str:
    """The engines that take a key."""
    return " or ".join(name for name, row in ENGINES.items() if key in row.keys)
