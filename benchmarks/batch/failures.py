"""A billion rows on machines that fail, by the journal's own code: what is done twice, and what the journal costs.

Usage: python -m benchmarks.batch.failures [--rows N] [--part-rows N] [--rate ROWS_PER_SECOND] [--machines N]

The clock is simulated, and rows are not answered; parts are begun, written (a few bytes each), recorded, found again by
a new journal after the command itself was killed, and finished by `hfspec.batch.journal`. The times told of the journal
are real ones, of this machine's disk.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from hfspec.batch.journal import JOB, Journal
from hfspec.batch.places import Folder, place
from hfspec.batch.spans import Part, Sizes, Span, parts

IDENTITY = {"artifact": "sha256:0", "input": []}


@dataclass
class Cluster:
    """Machines that fail after times drawn from an exponential distribution, and are there again after a while."""

    machines: int
    seconds: float
    hours: float
    restart: float
    drawn: random.Random
    lost: float = 0.0
    failures: int = 0
    fails_at: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fails_at = {machine: self._drawn() for machine in range(self.machines)}

    def _drawn(self) -> float:
        return self.drawn.expovariate(1 / (self.hours * 3600))

    def tried(self, machine: int, at: float) -> tuple[float, bool]:
        """When the machine is free again after it has begun a part, and whether the part is whole."""
        end = at + self.seconds * self.drawn.uniform(0.9, 1.1)
        if end < self.fails_at[machine]:
            return end, True
        failed = max(at, self.fails_at[machine])
        self.lost += failed - at
        self.failures += 1
        self.fails_at[machine] = failed + self.restart + self._drawn()
        return failed + self.restart, False


def cut(rows: int, size: int) -> tuple[Part, ...]:
    """The parts of one file of row groups of this size."""
    spans = (Span(0, 0, size, size * 100, group, size) for group in range(-(-rows // size)))
    return tuple(parts(spans, Sizes(size)))


def written(_: IO[bytes]) -> tuple[int, Mapping[str, int]]:
    """A part's rows, which nobody has computed."""
    return 1, {}


def simulated(folder: Path, pieces: tuple[Part, ...], cluster: Cluster, kills: int) -> dict[str, Any]:
    """Do the parts; the command is killed so many times on the way."""
    figures: dict[str, Any] = {"parts": len(pieces), "resume_seconds": []}
    journal = Journal(Folder(place(str(folder))))
    began = time.perf_counter()
    rest = list(reversed(journal.begin(IDENTITY, lambda: pieces)))
    figures["begin_seconds"] = time.perf_counter() - began
    figures["job_json_bytes"] = (folder / JOB).stat().st_size
    free = [(0.0, machine) for machine in range(cluster.machines)]
    killed_at = [len(pieces) * (number + 1) // (kills + 1) for number in range(kills)]
    now, writing = 0.0, 0.0
    while rest:
        at, machine = heapq.heappop(free)
        part = rest.pop()
        until, is_whole = cluster.tried(machine, at)
        heapq.heappush(free, (until, machine))
        if not is_whole:
            rest.append(part)
            continue
        now = max(now, until)
        began = time.perf_counter()
        journal.write(part, ".parquet", written)
        writing += time.perf_counter() - began
        if killed_at and len(pieces) - len(rest) >= killed_at[0]:
            killed_at.pop(0)
            began = time.perf_counter()
            journal = Journal(Folder(place(str(folder))))
            whole = journal.records()
            rest = [each for each in reversed(journal.begin(IDENTITY, tuple)) if each.number not in whole]
            figures["resume_seconds"].append(round(time.perf_counter() - began, 2))
            cluster.lost += cluster.machines * cluster.seconds / 2  # what was at hand when the command died
    began = time.perf_counter()
    manifest = journal.finish(IDENTITY, list(journal.records().values()), {})
    figures["finish_seconds"] = time.perf_counter() - began
    assert manifest["rows"] == len(pieces), "every part is there once"
    figures["record_seconds_a_part"] = writing / len(pieces)
    figures["hours"] = now / 3600
    return figures


def main() -> None:
    """Simulate, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10**9)
    parser.add_argument("--part-rows", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=500.0, help="rows a second of one machine")
    parser.add_argument("--machines", type=int, default=50)
    parser.add_argument(
        "--between-failures", type=float, default=200.0, help="hours between two failures of one machine"
    )
    parser.add_argument("--restart", type=float, default=300.0, help="seconds until a machine is there again")
    parser.add_argument("--kills", type=int, default=3, help="how often the command itself is killed")
    options = parser.parse_args()
    pieces = cut(options.rows, options.part_rows)
    cluster = Cluster(
        options.machines,
        options.part_rows / options.rate,
        options.between_failures,
        options.restart,
        random.Random(1),
    )
    with tempfile.TemporaryDirectory() as folder:
        figures = simulated(Path(folder), pieces, cluster, options.kills)
    ideal = options.rows / options.rate / options.machines / 3600
    figures |= {"ideal_hours": ideal, "failures": cluster.failures, "lost_machine_hours": cluster.lost / 3600}
    print(json.dumps({**vars(options), **figures}, indent=2))


if __name__ == "__main__":
    main()
