"""Contenders that are whole processes: compile, copy, save, start and answer."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.work import CHECKPOINTS, ROOT, WORK

OUTPUT = ROOT / "output"
SPECS = ROOT / "specs"
LIBRARIES = ROOT / "libraries.py"
CHUNK = 4 << 20
TEXT = "How do I reset my password?"


def write_specs() -> None:
    """The specs of all that is compiled here."""
    from benchmarks.contenders.ours import write_spec
    from benchmarks.material import SIZES

    SPECS.mkdir(parents=True, exist_ok=True)
    write_spec("generation")
    for name in SIZES:
        folder = (CHECKPOINTS / name / "model").absolute()
        document = {
            "spec_version": 1,
            "library": "transformers",
            "task": "text-generation",
            "model": {"path": str(folder)},
        }
        (SPECS / f"{name}.yaml").write_text(json.dumps(document), encoding="utf-8")


def compile_spec(checkpoint: str, options: Sequence[str] = ()) -> None:
    """The command as hfspec/__main__.py runs it: an artifact from a spec, then taken away."""
    from hfspec.cli.app import main
    from hfspec.runtime.host.process import begin, leave

    begin()
    target = _target()
    sys.argv = ["hfspec", "compile", str(SPECS / f"{checkpoint}.yaml"), "-o", str(target), *options]
    try:
        main()
    except SystemExit as left:
        shutil.rmtree(target, ignore_errors=bool(left.code))
        leave(int(left.code or 0))


def copy_and_hash(checkpoint: str) -> None:
    """Every file read once, hashed and written, then synced; taken away."""
    source, target = CHECKPOINTS / checkpoint / "model", _target()
    target.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        digest = hashlib.sha256()
        with path.open("rb", buffering=0) as old, (target / path.name).open("xb", buffering=0) as new:
            buffer = memoryview(bytearray(CHUNK))
            while count := old.readinto(buffer):
                digest.update(buffer[:count])
                new.write(buffer[:count])
            os.fsync(new.fileno())
    shutil.rmtree(target)


def save_work(work: str) -> None:
    """MLflow's save, with the pipeline that it needs, then taken away."""
    from benchmarks.contenders.incumbent import save

    target = _target()
    save(WORK[work], target)
    shutil.rmtree(target)


def _target() -> Path:
    return OUTPUT / f"{os.getpid()}"


def start_ours(work: str) -> None:
    """Load and answer."""
    import hfspec
    from benchmarks.contenders.ours import artifact

    hfspec.load(artifact(work)).predict([TEXT])


def start_incumbent(work: str) -> None:
    """Load and answer."""
    from importlib.metadata import version

    import mlflow

    from benchmarks.contenders.incumbent import SAVED

    mlflow.pyfunc.load_model(str(SAVED / version("transformers") / f"{work}-default")).predict([TEXT])


def start_bare(work: str) -> None:
    """The model's and the tokenizer's own classes, by name."""
    import torch

    model = str(WORK[work].model)
    if work == "embeddings":
        from transformers import BertModel, BertTokenizer

        words, network = BertTokenizer.from_pretrained(model), BertModel.from_pretrained(model)
    else:
        from transformers import BertTokenizer, DistilBertForSequenceClassification

        words = BertTokenizer.from_pretrained(model)
        network = DistilBertForSequenceClassification.from_pretrained(model)
    batch = words([TEXT], return_tensors="pt")
    if work != "embeddings":
        batch.pop("token_type_ids", None)
    with torch.inference_mode():
        network.eval()(**batch)[0].sum().item()


def start_library() -> None:
    """SentenceTransformer and encode."""
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(WORK["embeddings"].model), device="cpu").encode([TEXT])


def list_libraries() -> None:
    """Every module that `hfspec validate` has loaded at its end and that is not hfspec's, in the order of loading."""
    program = (
        "import sys, json\nfrom hfspec.cli.app import main\nsys.argv = ['hfspec', 'validate', 'specs/minilm.yaml']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(json.dumps([name for name in sys.modules if name.partition('.')[0] not in ('hfspec', '__main__')]))"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names = json.loads(process.stdout.splitlines()[-1])
    lines = [f"try:\n    import {name}\nexcept ImportError:\n    pass" for name in names if _can_be_imported(name)]
    LIBRARIES.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _can_be_imported(name: str) -> bool:
    return not name.startswith("__") and all(part.isidentifier() for part in name.split("."))


def predict_one(backend: str | None = None) -> Callable[[], Any]:
    """50 calls with one text each."""
    import hfspec
    from benchmarks.contenders.ours import artifact

    predictor = hfspec.load(artifact("classification"), backend=backend)
    return lambda: [predictor.predict(TEXT) for _ in range(50)]


def call_one() -> Callable[[], Any]:
    """One call by the model and the tokenizer: tokens, logits, softmax, the best label."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = str(WORK["classification"].model)
    words = AutoTokenizer.from_pretrained(model)
    network = AutoModelForSequenceClassification.from_pretrained(model).eval()

    def call() -> list[Any]:
        with torch.inference_mode():
            batch = words(TEXT, return_tensors="pt")
            scores = network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.softmax(-1)
            score, label = scores.max(-1)
            return [[network.config.id2label[label.item()], score.item()]]

    return lambda: [call() for _ in range(50)]


def stream(count: int) -> dict[str, float]:
    """Seconds to the first answer, and MB of resident memory at 10,000 rows and at the end."""
    import hfspec
    from benchmarks.contenders.ours import artifact

    predictor = hfspec.load(artifact("tiny"))
    started = time.perf_counter()
    first = at_start = 0.0
    for number, _ in enumerate(predictor.predict_iter(_short_texts(count)), 1):
        if number == 1:
            first = time.perf_counter() - started
        if number == 10_000:
            at_start = _resident()
    assert number == count
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"first_s": round(first, 3), "more_mb": round(_resident() - at_start, 1), "peak_mb": round(peak)}


def _short_texts(count: int) -> Iterator[str]:
    from benchmarks.material import words

    known = words()
    return (f"{known[number % len(known)]} {known[number // 7 % len(known)]}" for number in range(count))


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
