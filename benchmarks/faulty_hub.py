"""Compiles from a hub of which one request in three fails: every one must succeed, with the same bytes.

    python benchmarks/faulty_hub.py [--runs N]

A real HTTP server speaks the hub's protocol on this machine. A model with sharded weights and a tokenizer from another
repository are compiled N times, each time into an empty cache, while requests meet a 429, a 500, 502 or 503, no answer
at all, a body that stops, that is cut off, reset, or too short. Exits with 1 when a compile fails or one byte differs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN_PATH": os.devnull}
for unwanted in ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
    os.environ.pop(unwanted, None)

import hfspec  # noqa: E402
from tests.checkpoints import make  # noqa: E402
from tests.hub.faults import ANY  # noqa: E402
from tests.hub.server import Hub  # noqa: E402

# Half a second without a byte is a stall here. Set late, since the client itself reads whole seconds when imported.
QUICK = {"HF_HUB_DOWNLOAD_TIMEOUT": "0.5", "HF_HUB_ETAG_TIMEOUT": "0.5", "HFSPEC_HUB_FIRST_WAIT": "0.02"}
SPEC = """spec_version: 1
library: transformers
task: text-generation
model: {repo: someone/generator, revision: main}
components: {tokenizer: {repo: someone/words, revision: main}}
"""


def compile_once(place: Path, name: str) -> dict[str, bytes]:
    """The artifact's files, compiled into an empty cache; raises what compile raises."""
    os.environ["HF_HUB_CACHE"] = str(place / f"cache-{name}")
    target = place / name
    try:
        hfspec.compile(place / "generator.yaml", output=target)
        files = (path for path in target.rglob("*") if path.is_file())
        return {path.relative_to(target).as_posix(): path.read_bytes() for path in files}
    finally:
        shutil.rmtree(target, ignore_errors=True)
        shutil.rmtree(os.environ["HF_HUB_CACHE"], ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    runs = parser.parse_args().runs
    hub, requests, faults, failures = Hub(), 0, Counter[str](), []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(place / "home")}
        for name in ("gpt2-sharded", "gpt2"):
            make(name, place / name)
        hub.publish("someone/generator", place / "gpt2-sharded")
        hub.publish("someone/words", place / "gpt2")
        (place / "generator.yaml").write_text(SPEC)
        sound = compile_once(place, "sound")
        clean, started = len(hub.requests), time.monotonic()
        os.environ |= QUICK
        for seed in range(runs):
            hub.forget()
            hub.faults.flaky(one_in=3, seed=seed, kinds=ANY)
            try:
                same = compile_once(place, f"run-{seed}") == sound
                failures += [] if same else [f"run {seed}: other bytes"]
            except hfspec.HfspecError as error:
                failures.append(f"run {seed}: {error}")
            requests += len(hub.requests)
            faults.update(request.fault for request in hub.requests if request.fault)
    hub.close()
    print("\n".join(failures))
    print(
        f"{runs - len(failures)} of {runs} compiles succeeded with the same bytes, {time.monotonic() - started:.0f} s"
    )
    met = ", ".join(f"{kind} {count}" for kind, count in sorted(faults.items()))
    print(f"{requests} requests ({clean} in a compile without faults), {sum(faults.values())} of them failed: {met}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
