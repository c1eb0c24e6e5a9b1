"""`hfspec serve` beside other servers, and beside predict in one process, on this machine.

    python -m benchmarks.serving [WORK ...] [--rounds 3] [--requests 500] [--output FILE]

Each round starts each server anew, one after the other, sends all the same requests, and counts the processor time of
the server and all its children. Medians over the rounds are written to FILE (JSON), beside what it holds of other
works, and as tables to a file of Markdown next to it, which `make docs` puts into docs/serving-speed.md. The other
servers are installed once, each into an environment of its own in the cache; one that cannot be is named.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import machine, material, rounds
from benchmarks.serving import report
from benchmarks.serving.environments import CACHE
from benchmarks.serving.works import WORKS, Options

CHAT = (
    "{% for message in messages %}{{ message.content }} {% endfor %}"
    "{% if add_generation_prompt %}{{ eos_token }}{% endif %}"
)
SPECS: dict[str, dict[str, Any]] = {
    "minilm": {
        "library": "sentence-transformers",
        "task": "feature-extraction",
        "model": {"package": material.PACKAGE},
        "input_example": ["How do I reset my password?"],
    },
    "gpt2": {
        "library": "transformers",
        "task": "text-generation",
        "model": {"path": str(CACHE / "checkpoints/gpt2")},
        "model_config": {"do_sample": False, "return_full_text": False},
        "signature": {"params": {"max_new_tokens": 32}},
        "input_example": ["once upon a time"],
    },
}


def main(arguments: list[str]) -> int:
    """1 when a server failed; a missed target is no failure."""
    options = _parsed(arguments)
    output = Path(options.output)
    whole = json.loads(output.read_text(encoding="utf-8")) if output.is_file() else {"works": {}}
    prepared = Options(_artifact("minilm"), _artifact("gpt2"), CACHE / "checkpoints/gpt2", options.requests)
    whole["machine"] = machine.describe({"main": sys.executable}, ("uvicorn", "starlette"))
    failed = False
    for name in options.works or WORKS:
        figures = rounds.measured(WORKS[name](prepared), options.rounds)
        failed |= bool(figures["failures"])
        whole["works"][name] = figures
        report.write(whole, output)
        print(report.section(figures), flush=True)
    return 1 if failed else 0


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", choices=[*WORKS, []], help="all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=500, help="of single texts; others in proportion")
    parser.add_argument("--output", default="benchmarks/results/serving.json")
    return parser.parse_args(arguments)


def _artifact(name: str) -> Path:
    """The compiled artifact, made once in the cache."""
    folder = CACHE / "artifacts" / name
    if not folder.is_dir():
        if name == "gpt2":
            material.make_one(str(CACHE / "checkpoints"), "gpt2")
            (CACHE / "checkpoints/gpt2/chat_template.jinja").write_text(CHAT, encoding="utf-8")
        spec = CACHE / f"{name}.yaml"
        spec.write_text(json.dumps({"spec_version": 1, **SPECS[name]}), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "hfspec", "compile", str(spec), "-o", str(folder)], check=True)
    return folder


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
