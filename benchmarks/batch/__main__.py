"""Rows a second and peak memory of `hfspec batch`, beside `predict_iter` in a loop that keeps nothing.

Usage: python -m benchmarks.batch ARTIFACT [--rows N] [--rounds N] [--output FILE]

Each contender is a process of its own that loads once; they run in turn, so that what else the machine does falls on
both alike.
Seconds are from the first row to the last, without the load. Memory is told at 100,000 rows and at the end.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

EARLY = 100_000
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


def loop(artifact: str, source: str, _: str) -> dict[str, float]:
    """predict_iter over the file's rows."""
    import hfspec

    predictor = hfspec.load(artifact)
    batches = pq.ParquetFile(source).iter_batches(8192, columns=["text"])
    texts = (text for batch in batches for text in batch.column(0).to_pylist())
    began, early, count = time.perf_counter(), 0.0, 0
    for count, _answer in enumerate(predictor.predict_iter(texts), 1):
        if count == EARLY:
            early = memory()
    return {
        "rows_per_second": count / (time.perf_counter() - began),
        "early_mb": early or memory(),
        "peak_mb": memory(),
    }


def batch(artifact: str, source: str, output: str) -> dict[str, float]:
    """Answer the same rows by the local engine of `hfspec batch`."""
    from hfspec.batch import run, work
    from hfspec.batch.job import Job

    early: list[float] = []
    began: list[float] = []
    load = work.loaded

    def loaded(job: Job) -> object:
        worker = load(job)
        began.append(time.perf_counter())
        return worker

    def told(progress: run.Told) -> None:
        if progress.rows >= EARLY and not early:
            early.append(memory())

    work.loaded = loaded
    progress = run.run(Job(artifact, (source,), output), tell=told)
    seconds = time.perf_counter() - began[0]
    return {
        "rows_per_second": progress.manifest["rows"] / seconds,
        "early_mb": early[0] if early else memory(),
        "peak_mb": memory(),
    }


CONTENDERS = {"loop": loop, "batch": batch}


def main() -> None:
    """Run the contenders in turn and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifact")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--source", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.one:
            print(json.dumps(CONTENDERS[options.one](options.artifact, options.source, f"{folder}/out")))
            return
        source = Path(folder, "in.parquet")
        material(source, options.rows)
        figures: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
        for _ in range(options.rounds):
            for name in CONTENDERS:
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.batch",
                    options.artifact,
                    "--one",
                    name,
                    "--source",
                    source,
                ]
                process = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=3600)
                figures[name].append(json.loads(process.stdout.splitlines()[-1]))
                print(name, figures[name][-1], flush=True)
    pairs = zip(figures["batch"], figures["loop"], strict=True)
    ratios = [mine["rows_per_second"] / other["rows_per_second"] for mine, other in pairs]
    result = {"rows": options.rows, "ratio": statistics.median(ratios), "rounds": figures}
    print(f"batch is {result['ratio']:.2f} times as fast as the loop")
    if options.output:
        options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
