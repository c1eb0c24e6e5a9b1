"""A long batch: whether its memory is flat, and whether SIGKILL changes a byte.

Usage: python -m benchmarks.batch.endurance ARTIFACT [--rows N] [--kills N]

The rows are short texts. They are answered once without disturbance, where the peak of the process's memory is taken
after 100,000 rows and at the end; and once by a command that is killed so many times and begun again, whose files are
then compared. It ends with 1 where the memory grows by more than 30 MB or a byte differs.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from filecmp import cmp
from pathlib import Path
from typing import IO, Any

from benchmarks.batch.__main__ import EARLY, material, memory

FLAT = 30  # MB
PART = 20_000  # rows


def child(artifact: str, source: str, output: str) -> None:
    """Do the job; a line of JSON after each window of rows."""
    from hfspec.batch import run
    from hfspec.batch.job import Job
    from hfspec.batch.spans import Sizes

    began = time.process_time()
    early = 0.0

    def tell(told: run.Told) -> None:
        nonlocal early
        early = early or (memory() if told.rows >= EARLY else 0.0)
        print(json.dumps({"rows": told.rows}), flush=True)

    run.run(Job(artifact, (source,), output, sizes=Sizes(PART), threads=1), tell=tell)
    seconds = time.process_time() - began
    print(json.dumps({"early_mb": early or memory(), "peak_mb": memory(), "processor_seconds": seconds}), flush=True)


def job(artifact: str, source: Path, output: Path, kill_at: int | None = None) -> dict[str, Any]:
    """One run of the job, killed after so many rows; the last line that it told."""
    command = [sys.executable, "-m", "benchmarks.batch.endurance", artifact, "--child", str(source), str(output)]
    line: dict[str, Any] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in _lines(process.stdout):
            if kill_at is not None and line.get("rows", 0) >= kill_at:
                process.kill()
                break
    assert process.returncode == (0 if kill_at is None else -signal.SIGKILL)
    return line


def _lines(stream: IO[str]) -> Any:
    return (json.loads(line) for line in stream if line.startswith("{"))


def same(one: Path, other: Path) -> bool:
    """Whether both folders have the same files with the same bytes."""
    names = [sorted(path.name for path in folder.rglob("*") if path.is_file()) for folder in (one, other)]
    return names[0] == names[1] and all(cmp(one / name, other / name, shallow=False) for name in names[0])


def main() -> None:
    """Do the job both ways, and print what was seen as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifact")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.artifact, *options.child)
        return
    draw = random.Random(2)
    with tempfile.TemporaryDirectory() as folder:
        source, quiet, killed = (Path(folder, name) for name in ("in.parquet", "quiet", "killed"))
        material(source, options.rows)
        figures = job(options.artifact, source, quiet)
        figures["growth_mb"] = figures["peak_mb"] - figures["early_mb"]
        kills = sorted(draw.sample(range(1, options.rows), options.kills))
        figures["killed_at"] = [job(options.artifact, source, killed, at)["rows"] for at in kills]
        if kills:
            job(options.artifact, source, killed)
            figures["same_bytes"] = same(quiet, killed)
    print(json.dumps({"rows": options.rows, **figures}, indent=2))
    sys.exit(0 if figures["growth_mb"] <= FLAT and figures.get("same_bytes", True) else 1)


if __name__ == "__main__":
    main()
