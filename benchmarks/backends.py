"""Ways to run an encoder, beside torch in float32, all of them under hfspec's own scheduler.

    python -m benchmarks.backends [--quick] [--output DIR]

Needs onnxruntime, onnx, onnxscript, openvino and torchao beside the `demo` extra; a way whose package is not installed,
or that fails, is shown as such. Writes backends.json and backends.md. Takes longer than 5 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import machine
from benchmarks.measuring import Contender, Measured, measure, prepare, pythons
from benchmarks.report import described
from benchmarks.rows import times
from benchmarks.work import CHECKPOINTS

# How far numbers may lie apart: what golden examples of the dtype allow (hfspec/runtime/golden/examples.py).
FLOAT32, BFLOAT16 = 2e-5, 1e-2
ENOUGH = 1.3
PACKAGES = ("openvino", "onnxruntime", "onnx", "onnxscript", "torchao")
# The name, the way in contenders/backends.py, the weights' dtype, the tolerance that its answers are held to.
WAYS = (
    ("torch float32", "torch", "float32", FLOAT32),
    ("oneDNN for the linear layers", "onednn", "float32", FLOAT32),
    ("torch.compile, dynamic shapes", "compiled", "float32", FLOAT32),
    ("torch.compile, bucketed shapes", "compiled bucketed", "float32", FLOAT32),
    ("unpadded, block mask", "packed", "float32", FLOAT32),
    ("ONNX Runtime float32", "onnxruntime", "float32", FLOAT32),
    ("OpenVINO float32", "openvino", "float32", FLOAT32),
    ("torch bfloat16", "torch", "bfloat16", BFLOAT16),
    ("torch.compile bfloat16", "compiled", "bfloat16", BFLOAT16),
    ("OpenVINO bfloat16", "openvino", "bfloat16", BFLOAT16),
    ("int8, torch quantize_dynamic", "int8 torch", "float32", BFLOAT16),
    ("int8, torchao compiled", "int8 torchao", "float32", BFLOAT16),
    ("int8, ONNX Runtime dynamic", "onnxruntime int8", "float32", BFLOAT16),
)
WORKS = {"classification": (96, 32), "embeddings": (400, 64)}
# DistilBERT takes no positions; the others compile for a minute a work.
ONLY = dict.fromkeys(("packed", "compiled bucketed", "int8 torchao"), "embeddings")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few texts, one round")
    parser.add_argument("--output", default="benchmarks/results", help="the folder to write to")
    options = parser.parse_args(arguments)
    interpreters = pythons(None)
    prepare(
        [("main", "benchmarks.material:make_one", {"folder": str(CHECKPOINTS), "name": "classifier"})], interpreters
    )
    rounds = 1 if options.quick else 3
    works = []
    for work, counts in WORKS.items():
        works.append(_measured(work, counts[options.quick], rounds, interpreters))
        print(f"{work}\n{table(works[-1])}", flush=True)
    described_by = machine.describe(interpreters, PACKAGES)
    whole = {"machine": described_by, "quick": options.quick, "rounds": rounds, "works": works}
    write(whole, Path(options.output))
    return 0


def _measured(work: str, count: int, rounds: int, interpreters: dict[str, str]) -> dict[str, Any]:
    """All ways in turn, so that a slow minute falls on all; the first is what the others are compared with."""
    prepare([("main", "benchmarks.contenders.ours:prepare", {"work": work})], interpreters)
    ways = [way for way in WAYS if ONLY.get(way[1], work) == work]
    settings = {"work": work, "count": count}
    contenders = [
        Contender(name, "benchmarks.contenders.backends:predict", {**settings, "way": way, "dtype": dtype})
        for name, way, dtype, _ in ways
    ]
    measured = measure(contenders, interpreters, rounds)
    rows = [{"name": name, "tolerance": tolerance, **_about(name, count, measured)} for name, _, _, tolerance in ways]
    return {"name": work, "count": count, "ways": rows}


def _about(name: str, count: int, measured: dict[str, Measured]) -> dict[str, Any]:
    first = next(iter(measured))
    base, mine = measured[first], measured[name]
    if isinstance(mine.said, str):
        return {"failed": mine.said}
    return {
        "a_second": round(count / median(mine.seconds), 1),
        "ratio": round(times(first, name)(measured), 2),
        "ready_seconds": round(max(0.0, (mine.loading or 0) - (base.loading or 0)), 1),
        "peak_mb": round(mine.peak / 1e6),
        "apart": _apart(base, mine),
        "other_labels": sum(_label(one) != _label(other) for one, other in zip(base.said, mine.said, strict=True)),
    }


def _label(row: Any) -> Any:
    """The label of a classified text; None for an embedding."""
    return row[0] if isinstance(row[0], str) else None


def _apart(base: Measured, tried: Measured) -> float:
    """The largest distance between two numbers of the answers."""
    pairs = zip(_numbers(base.said), _numbers(tried.said), strict=True)
    return float(f"{max(abs(one - other) for one, other in pairs):.2g}")


def _numbers(answer: Any) -> list[float]:
    if isinstance(answer, list):
        return [number for value in answer for number in _numbers(value)]
    return [float(answer)] if isinstance(answer, int | float) else []


def write(whole: dict[str, Any], folder: Path) -> None:
    """backends.json and backends.md."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "backends.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    kind = "Quick run, too short to be relied on. " if whole["quick"] else ""
    head = f"# Backends\n\n{kind}{described(whole['machine'])}\n"
    tables = [f"\n## {work['name']}, {work['count']} texts\n\n{table(work)}" for work in whole["works"]]
    (folder / "backends.md").write_text(head + "".join(tables), encoding="utf-8")


def table(work: dict[str, Any]) -> str:
    """A work's ways, each with its ratio to torch float32, what it costs to be ready and how far its answers lie."""
    head = "| way | texts/s | against torch float32 | seconds to be ready | peak MB | largest difference | |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    return "\n".join([*lines, *(_line(way) for way in work["ways"])]) + "\n"


def _line(way: dict[str, Any]) -> str:
    if "failed" in way:
        return f"| {way['name']} | | | | | | failed: {way['failed'].replace('|', '/')[:120]} |"
    figures = f"{way['a_second']:g} | {way['ratio']:g}x | {way['ready_seconds']:g} | {way['peak_mb']:,}"
    return f"| {way['name']} | {figures} | {way['apart']:g} | {_verdict(way)} |"


def _verdict(way: dict[str, Any]) -> str:
    remarks = [] if way["ratio"] >= ENOUGH or way["name"] == WAYS[0][0] else [f"below {ENOUGH:g}x"]
    if way["apart"] > way["tolerance"]:
        remarks.append(f"beyond its tolerance of {way['tolerance']:g}")
    if way["other_labels"]:
        remarks.append(f"{way['other_labels']} other labels")
    return ", ".join(remarks) or "good"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
