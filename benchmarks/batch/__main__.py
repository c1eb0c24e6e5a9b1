"""Rows a second, processor time and peak memory of `hfspec batch` and of what people use instead, on one machine.

    python -m benchmarks.batch ARTIFACT [WORK ...] [--rows N] [--rounds N] [--more] [--output FILE]

Each contender is a process of its own; they run in turn over the same Parquet file of short texts. ARTIFACT is that of
specs/minilm.yaml. Ray and Spark run in the Pythons that HFSPEC_RAY_PYTHON and HFSPEC_SPARK_PYTHON name, Ray in a
network of its own. Seconds are from the first row to the last one written: without imports, the start of a cluster or a
JVM, and the load of the first worker. Processor time is that of the process and all its children in these seconds;
memory is theirs together at its highest, shared pages counted once, looked at twice a second.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import machine, rounds
from benchmarks.material import minilm
from benchmarks.rounds import Figures, MissingError, Target, Work, ratio
from benchmarks.serving import processes, report

EARLY = 100_000
LONGEST, LOOK = 900, 0.5  # seconds of a contender; between two looks at its memory
RAY, SPARK = "HFSPEC_RAY_PYTHON", "HFSPEC_SPARK_PYTHON"
RATE = "rows/s"
WORDS = [
    "the",
    "of",
    "and",
    "a",
    "market",
    "river",
    "music",
    "engine",
    "garden",
    "winter",
    "report",
    "signal",
    "paper",
    "small",
    "open",
    "never",
    "many",
]


def material(path: Path, rows: int) -> None:
    """Short texts, the same ones each time, in row groups of 65,536."""
    random_words = random.Random(1)
    schema = pa.schema([("id", pa.int64()), ("text", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 65_536):
            numbers = range(start, min(start + 65_536, rows))
            texts = [" ".join(random_words.choices(WORDS, k=random_words.randrange(2, 9))) for _ in numbers]
            writer.write_table(pa.table({"id": list(numbers), "text": texts}, schema=schema))


def memory() -> float:
    """Peak of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass(frozen=True)
class Runs:
    """The contenders as processes. ``paths``: what each is given; ``rows``: how many there are in the file."""

    paths: Mapping[str, str]
    rows: int

    def of(self, name: str, variable: str = "", module: str = "") -> Callable[[], Figures]:
        """A measure of a contender, in the Python that the variable names, which has the module."""

        def measure() -> Figures:
            python = _python(variable, module) if variable else sys.executable
            with tempfile.TemporaryDirectory() as folder:
                command = [python, "-m", "benchmarks.batch.contenders", name, folder, json.dumps(dict(self.paths))]
                return self._measured(name, Path(folder), _alone(command) if variable == RAY else command)

        return measure

    def _measured(self, name: str, folder: Path, command: list[str]) -> Figures:
        log = folder / "log"
        with log.open("w") as errors, _started(command, errors) as process:
            watch = Watch(process, folder)
            watch.wait()
            said = process.stdout.read() if process.stdout and process.wait(60) == 0 else ""
        if process.returncode or not watch.ended:
            text = log.read_text(encoding="utf-8", errors="replace").strip()
            raise RuntimeError(f"{name} failed: {text.splitlines()[-1] if text else process.returncode}")
        if said and (written := json.loads(said.splitlines()[-1])["rows"]) != self.rows:
            raise RuntimeError(f"{name} wrote {written} rows of {self.rows}")
        return {
            RATE: self.rows / (watch.ended - watch.began),
            "CPU ms a row": 1000 * watch.processor / self.rows,
            "peak MB": watch.peak,
        }


class Watch:
    """Looks at a contender and its children until it is at its end."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process, self.folder = process, folder
        self.began = self.ended = self.peak = 0.0
        self.before: dict[int, float] = {}
        self.times: dict[int, float] = {}  # of each process when it was last seen

    @property
    def processor(self) -> float:
        """Processor seconds between the first row and the last."""
        return sum(seconds - self.before.get(pid, 0.0) for pid, seconds in self.times.items())

    def wait(self) -> None:
        """Until the last row is written; then lets the process go on."""
        until, looked = time.monotonic() + LONGEST, 0.0
        while self.process.poll() is None and not self.ended and time.monotonic() < until:
            if not self.began and (self.folder / "began").exists():
                self.times = self.before = processes.processor_times(self.process.pid)
                self.began = (self.folder / "began").stat().st_mtime
            if (self.folder / "ended").exists():
                self.ended = (self.folder / "ended").stat().st_mtime
            if self.ended or time.monotonic() - looked > LOOK:
                looked = time.monotonic()
                self._look()
            time.sleep(0.02)
        if self.ended and self.process.stdin:
            self.process.stdin.write("\n")
            self.process.stdin.flush()

    def _look(self) -> None:
        times = processes.processor_times(self.process.pid)
        self.peak = max(self.peak, sum(map(_megabytes, times)))
        if self.began:
            self.times = {**self.times, **times}


def _megabytes(pid: int) -> float:
    """The process's share of memory: a page that several have is divided among them."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _started(command: list[str], errors: Any) -> Any:
    """The process; what is left of it and its children is ended with it."""
    from contextlib import contextmanager

    @contextmanager
    def started() -> Any:
        from tests.own_network import ENVIRONMENT

        environment = {**os.environ, **({} if command[0] == sys.executable else ENVIRONMENT)}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors, "text": True}
        process = subprocess.Popen(command, env=environment, start_new_session=True, **pipes)
        try:
            yield process
        finally:
            processes.end(process)

    return started()


def _alone(command: list[str]) -> list[str]:
    from tests.own_network import alone

    return alone(*command)


def _python(variable: str, module: str) -> str:
    """Raises MissingError where there is none with that module."""
    python = os.environ.get(variable, "")
    if not python:
        raise MissingError(f"{variable} names no Python with {module}")
    command = [python, "-c", f"import importlib.util as u; raise SystemExit(u.find_spec({module!r}) is None)"]
    if subprocess.run(command, check=False, timeout=120).returncode:
        raise MissingError(f"the Python that {variable} names has no {module}")
    return python


def local(runs: Runs) -> Work:
    """One process."""
    ours, one, loop, pandas = "`hfspec batch`", "the same, one thread", "`predict_iter` in a loop", CHUNKS
    return Work(
        f"{runs.rows:,} short texts, one process, two threads unless said (all-MiniLM-L6-v2)",
        {
            loop: runs.of("loop"),
            ours: runs.of("batch"),
            one: runs.of("batch, one thread"),
            pandas: runs.of("pandas chunks"),
        },
        [
            Target("rows/s against `predict_iter` in a loop, which writes nothing", 0.95, ratio(ours, loop, RATE)),
            Target(f"rows/s against {pandas}", None, ratio(ours, pandas, RATE)),
            Target("rows/s by two threads against one", None, ratio(ours, one, RATE)),
        ],
    )


def by_ray(runs: Runs) -> Work:
    """A node of Ray on this machine."""
    one, worker, ours = "`hfspec batch`, one thread", "`--engine ray`, one worker", "`--engine ray`, two workers"
    predict, encode = "`hfspec.ray.Predict`, two workers", "Ray Data and sentence-transformers' `encode`, two workers"
    return Work(
        f"{runs.rows:,} short texts, Ray on this machine, a thread a worker",
        {
            one: runs.of("batch, one thread"),
            worker: runs.of("ray batch, one worker", RAY, "ray"),
            ours: runs.of("ray batch", RAY, "ray"),
            encode: runs.of("ray encode", RAY, "ray"),
            predict: runs.of("ray predict", RAY, "ray"),
        },
        [
            Target("rows/s of `--engine ray` against Ray Data and `encode`", 1.5, ratio(ours, encode, RATE)),
            Target("rows/s of `hfspec.ray.Predict` against Ray Data and `encode`", 1.5, ratio(predict, encode, RATE)),
            Target("rows/s of one worker against one process", 0.9, ratio(worker, one, RATE)),
            Target("rows/s of two workers against one", None, ratio(ours, worker, RATE)),
        ],
    )


def by_spark(runs: Runs) -> Work:
    """Spark in local mode."""
    ours, predict, udf = "`--engine spark`", "`hfspec.spark.predict`", "`spark_udf` over MLflow's flavor"
    return Work(
        f"{runs.rows:,} short texts, Spark in local mode, two workers of a thread",
        {
            predict: runs.of("spark predict", SPARK, "pyspark"),
            udf: runs.of("spark_udf", SPARK, "pyspark"),
            ours: runs.of("spark batch", SPARK, "pyspark"),
        },
        [
            Target("rows/s of `hfspec.spark.predict` against `spark_udf`", 3, ratio(predict, udf, RATE)),
            Target("rows/s of `--engine spark` against `spark_udf`", 3, ratio(ours, udf, RATE)),
        ],
    )


CHUNKS = "pandas chunks through MLflow's flavor"
WORKS = {"local": local, "ray": by_ray, "spark": by_spark}


def main(arguments: list[str]) -> int:
    """1 when a contender failed; a missed target is no failure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact")
    parser.add_argument("works", nargs="*", choices=[*WORKS, []], help="all by default")
    parser.add_argument("--rows", type=int, default=6_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--more", action="store_true", help="add to the rounds that FILE has")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/batch.json"))
    options = parser.parse_args(arguments)
    output: Path = options.output
    whole = json.loads(output.read_text(encoding="utf-8")) if output.is_file() else {"works": {}}
    pythons = {"main": sys.executable, "engines": os.environ.get(RAY) or os.environ.get(SPARK) or sys.executable}
    whole["machine"] = machine.describe(pythons, ("pyarrow", "ray", "pyspark"))
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "in.parquet")
        material(source, options.rows)
        paths = {"artifact": str(Path(options.artifact).absolute()), "source": str(source)}
        runs = Runs({**paths, "flavor": _flavor(), "checkpoint": str(minilm())}, options.rows)
        for name in options.works or WORKS:
            before = whole["works"].get(name, {}).get("rounds") if options.more else None
            figures = rounds.measured(WORKS[name](runs), options.rounds, before)
            failed |= bool(figures["failures"])
            whole["works"][name] = figures
            report.write(whole, output)
            print(report.section(figures), flush=True)
    return 1 if failed else 0


def _flavor() -> str:
    """The model as MLflow saves it, made once."""
    from benchmarks.measuring import prepare

    prepare([("main", "benchmarks.contenders.incumbent:prepare", {"work": "embeddings"})], {"main": sys.executable})
    (found,) = Path("build/bench/mlflow").glob("*/embeddings-default")
    return str(found.absolute())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
