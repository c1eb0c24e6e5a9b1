"""Contenders measured in turn: A B C, A B C, …, so that what else the machine does falls on all alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Contender:
    """``target``: MODULE:FUNCTION for a worker, or a MODULE:FUNCTION that a new process calls in each round when
    ``whole``. ``python``: "main", or "baseline" for the environment with transformers 4.57.
    """

    name: str
    target: str
    settings: dict[str, Any] = field(default_factory=dict)
    python: str = "main"
    whole: bool = False


@dataclass(slots=True)
class Measured:
    """Seconds of each round, the first of a worker left out when there are others; the largest peak in bytes."""

    seconds: list[float] = field(default_factory=list)
    peak: int = 0
    loading: float | None = None
    said: Any = None


def measure(contenders: Sequence[Contender], pythons: dict[str, str], rounds: int) -> dict[str, Measured]:
    """Every contender's rounds, in turn. Raises RuntimeError with its stderr when one fails."""
    found = {contender.name: Measured() for contender in contenders}
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        workers = {
            contender.name: stack.enter_context(_Worker(contender, pythons[contender.python], place))
            for contender in contenders
            if not contender.whole
        }
        for number in range(rounds + bool(workers)):
            for contender in contenders:
                mine = found[contender.name]
                if not contender.whole:
                    workers[contender.name].round(mine, number)
                elif number < rounds:
                    _run(contender, pythons[contender.python], mine)
    return found


class _Worker:
    """A process that loads once; see benchmarks/worker.py."""

    def __init__(self, contender: Contender, python: str, place: Path) -> None:
        self.name = contender.name
        self.answers = place / f"{contender.name.replace('/', ' ')}.json"
        self.errors = self.answers.with_suffix(".stderr").open("w+")
        command = [python, "-m", "benchmarks.worker", contender.target, json.dumps(contender.settings)]
        self.process = subprocess.Popen(
            command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env=_environment(),
        )  # fmt: skip
        self.loading = self._read()["seconds"]  # one loads after the other

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.errors.close()

    def round(self, found: Measured, number: int) -> None:
        """One round; the first, in which libraries warm up, gives the answers."""
        self.process.stdin.write(f"{'' if number else self.answers}\n")
        self.process.stdin.flush()
        read = self._read()
        found.peak = max(found.peak, read["peak"])
        if number:
            found.seconds.append(read["seconds"])
        else:
            found.loading = self.loading
            found.said = json.loads(self.answers.read_text(encoding="utf-8"))

    def _read(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            raise RuntimeError(f"{self.name} failed:\n{self.errors.read()[-3000:]}")
        return json.loads(line)


def _run(contender: Contender, python: str, found: Measured) -> None:
    """A process from its start to its end. What it prints last, as JSON, is what it says."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        command = [python, "-m", "benchmarks.once", contender.target, json.dumps(contender.settings)]
        if contender.target == "-m":
            command = [python, *contender.settings["arguments"]]
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=HERE, stdout=output, stderr=errors, env=_environment())
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0), errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"{contender.name} failed:\n{errors.read()[-3000:]}")
        found.seconds.append(seconds)
        found.peak = max(found.peak, usage.ru_maxrss * 1024)
        last = output.read().strip().rpartition("\n")[2]
        found.said = json.loads(last) if last.startswith(("{", "[", '"')) else None


def prepare(calls: Iterable[tuple[str, str, dict[str, Any]]], pythons: dict[str, str]) -> None:
    """Each (python, MODULE:FUNCTION, settings) in a process of its own."""
    for python, target, settings in calls:
        command = [pythons[python], "-m", "benchmarks.once", target, json.dumps(settings)]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False, env=_environment())
        if done.returncode:
            raise RuntimeError(f"preparing {target} {settings} failed:\n{done.stderr[-3000:]}")


def _environment() -> dict[str, str]:
    """No hub, no trackers, this folder's hfspec, the threads that torch takes by itself."""
    dropped = ("_NUM_THREADS", "DONTWRITEBYTECODE")  # an installed package has its bytecode beside it
    kept = {name: value for name, value in os.environ.items() if not name.endswith(dropped)}
    offline = {"HF_HUB_OFFLINE": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    return {**kept, **offline, "PYTHONPATH": str(HERE), "TOKENIZERS_PARALLELISM": "true"}


def pythons(baseline: str | None) -> dict[str, str]:
    """The environments by name."""
    return {"main": sys.executable, **({"baseline": baseline} if baseline else {})}
