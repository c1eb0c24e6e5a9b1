"""The processor time from a new process to its first answer: MiniLM as a graph and by torch, interleaved.

Usage: python -m benchmarks.onnx_start [RUNS]     (artifacts go to build/bench/onnx-start/)
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import hfspec

ROOT = Path(__file__).parent.parent
PLACE = ROOT / "build/bench/onnx-start"
TEXT = "How do I reset my password?"
FORMATS = ("onnx", "safetensors")
PEAK = """
import sys, hfspec
predictor = hfspec.load(sys.argv[1])
predictor.predict([sys.argv[2]])
with open("/proc/self/status") as status:  # getrusage counts those of the process that started it, too
    print(next(line.split()[1] for line in status if line.startswith("VmHWM:")))
"""


def made(kind: str) -> Path:
    """The artifact, compiled where it is not there yet."""
    target = PLACE / kind
    if not (target / "artifact.json").is_file():
        hfspec.compile(ROOT / "specs/minilm.yaml", output=target, overrides=[f"+format={kind}"], run=False)
    return target


def seconds(artifact: Path) -> float:
    """Seconds of processor time that predictor.py takes for one text."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, str(artifact / "predictor.py"), TEXT]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peak(artifact: Path) -> float:
    """Megabytes that a process with the model loaded takes at most."""
    done = subprocess.run([sys.executable, "-c", PEAK, str(artifact), TEXT], check=True, capture_output=True, text=True)
    return int(done.stdout.splitlines()[-1]) / 1024


def main(runs: int) -> None:
    artifacts = {kind: made(kind) for kind in FORMATS}
    for artifact in artifacts.values():
        seconds(artifact)  # files into memory
    times: dict[str, list[float]] = {kind: [] for kind in FORMATS}
    for _ in range(runs):
        for kind, artifact in artifacts.items():
            times[kind].append(seconds(artifact))
    for kind in FORMATS:
        found = sorted(times[kind])
        print(
            f"{kind}: median {statistics.median(found):.2f} s of processor time ({found[0]:.2f} to {found[-1]:.2f},"
            f" {runs} runs), {peak(artifacts[kind]):.0f} MB"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
