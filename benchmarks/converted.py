"""A chat-sized decoder of random weights: the transformers artifact against those that `convert` makes of it.

    python benchmarks/converted.py [--rounds N] [--new N] [--threads N] [--folder DIR] [--precisions int4,fp32]

A Phi-3-shaped checkpoint of about 100 million parameters is made in a temporary folder and compiled as it is and
converted. Each artifact is loaded in a process of its own, and the processes answer the same 16 prompts in turn,
greedily, the same number of tokens each. Printed are medians of wall time and of processor time, the largest memory of
each process, and the size of the model's files.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe
from tests.checkpoints import vocabulary
from tests.checkpoints.writing import quiet, write

PROMPTS = [" ".join(["the capital of Spain is hello world one two"] * (1 + number % 4)) for number in range(16)]
SIZES = {
    "vocab_size": 16_000,
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 10,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "max_position_embeddings": 1024,
    "original_max_position_embeddings": 1024,
}


def checkpoint(folder: Path) -> Path:
    """A Phi-3 of about 100 million random parameters that ends no answer by itself."""
    import transformers

    with quiet():
        tokenizer = vocabulary.phi3(1024)
        pad = tokenizer.pad_token_id
        config = transformers.Phi3Config(**SIZES, bos_token_id=1, eos_token_id=None, pad_token_id=pad)
        model = transformers.Phi3ForCausalLM(config)
        last = SIZES["vocab_size"] - 1  # of no text, so that no answer ends by it
        model.generation_config = transformers.GenerationConfig(bos_token_id=1, eos_token_id=last, pad_token_id=pad)
        write(folder, model, tokenizer, seed=3)
    print(f"{sum(one.numel() for one in model.parameters()) / 1e6:.0f} million parameters", file=sys.stderr)
    return folder


def compiled(place: Path, name: str, source: Path, new: int, convert: dict[str, str] | None) -> Path:
    """The artifact of the checkpoint, as it is or converted."""
    import hfspec

    spec = place / f"{name}.yaml"
    document = {
        "spec_version": 1,
        "library": "transformers",
        "task": "text-generation",
        "model": {"path": str(source)},
        "model_config": {"max_new_tokens": new, "return_full_text": False},
        **({"convert": convert} if convert else {}),
    }
    spec.write_text(json.dumps(document), encoding="utf-8")
    made = hfspec.compile(spec, output=place / name, run=False)
    print(*(note for note in made.notes if note.startswith("Converted")), sep="\n", file=sys.stderr)
    return made.path


def peak_memory() -> int:
    """The most bytes that this process has had in memory; getrusage counts those of who started it, too."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def worker(folder: str, threads: int | None) -> None:
    """Answer once for each line that comes, and say how long it took."""
    import hfspec

    predictor = hfspec.load(folder, threads=threads)
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        rows = predictor.predict(PROMPTS, outputs="full")
        spent = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
        tokens = sum(row["completion_tokens"] for row in rows)
        peak = peak_memory()
        print(json.dumps({**spent, "tokens": tokens, "peak": peak}), flush=True)


def measured(folders: dict[str, Path], rounds: int, threads: int | None) -> dict[str, list[dict[str, float]]]:
    """The rounds of each artifact, in turn; the first of each is left out."""
    command = [sys.executable, "-m", "benchmarks.converted", *([f"--threads={threads}"] if threads else []), "--worker"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    workers = {name: subprocess.Popen([*command, str(folder)], **pipes) for name, folder in folders.items()}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in folders}
    for number in range(rounds + 1):
        for name, process in workers.items():
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("go\n")
            said = json.loads(process.stdout.readline())
            if number:
                found[name].append(said)
    for process in workers.values():
        process.communicate()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--new", type=int, default=32)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--precisions", default="int4,fp32")
    given = parser.parse_args()
    if given.worker:
        worker(given.worker, given.threads)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
        place = Path(temporary)
        source = checkpoint(place / "checkpoint")
        ways = {one: {"to": "onnxruntime-genai", "precision": one} for one in given.precisions.split(",")}
        folders = {
            name: compiled(place, name, source, given.new, convert)
            for name, convert in {"transformers": None, **ways}.items()
        }
        sizes = {
            name: sum(file.stat().st_size for file in (folder / "model").rglob("*") if file.is_file())
            for name, folder in folders.items()
        }
        found = measured(folders, given.rounds, given.threads)
    print(json.dumps(describe({"main": sys.executable}, ("onnxruntime-genai", "onnxruntime")), indent=1))
    for name, rounds in found.items():
        wall, processor = (statistics.median(one[key] for one in rounds) for key in ("wall", "processor"))
        print(
            f"{name:14} {wall:7.2f} s wall, {processor:7.2f} s processor, {rounds[0]['tokens'] / wall:7.1f} tokens/s,"
            f" peak {rounds[-1]['peak'] / 1e6:6.0f} MB, model {sizes[name] / 1e6:5.0f} MB"
        )


if __name__ == "__main__":
    main()
