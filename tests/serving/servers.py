"""A real server over tiny artifacts, as a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

READY = re.compile(r"ready at (\S+)")
START_SECONDS = 240
STOP_SECONDS = 30
# Name in the fleet -> the tiny checkpoint, its task and the keys of its spec.
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "assistant": ("llama-chat", "llm/v1/chat", {}),
    "writer": ("llama-chat", "text-generation", {}),
    "sentiment": ("bert-sentiment", "text-classification", {}),
    "embedder": ("minilm-like", "feature-extraction", {}),
    "reranker": ("ce-msmarco", "text-ranking", {}),
    "splade": ("splade", "sparse-embedding", {}),
    "whisper": (
        "whisper",
        "automatic-speech-recognition",
        {"model_config": {"allow_urls": True, "max_new_tokens": 8, "num_beams": 1}},
    ),
    "vit": ("vit", "image-classification", {}),
}
URLS = ("vit",)  # whose inputs may be addresses; those of whisper may not, whatever its artifact says
ALIASES = {"assistant": ["gpt-4o-mini"], "embedder": ["text-embedding-3-small"], "whisper": ["whisper-1"]}


@dataclass
class Served:
    """A running server. ``artifacts``: the folder of each model; ``lines``: what it has written to stderr."""

    url: str
    process: subprocess.Popen[str]
    artifacts: dict[str, Path]
    lines: list[str] = field(default_factory=list)

    def get(self, path: str, **named: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=60, **named)

    def post(self, path: str, body: Any = None, **named: Any) -> requests.Response:
        return requests.post(self.url + path, json=body, timeout=60, **named)


@contextmanager
def serving(folder: Path, fleet: dict[str, Any], artifacts: dict[str, Path]) -> Iterator[Served]:
    """A server over this fleet file, which is written into ``folder``; its address is free."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "fleet.yaml"
    file.write_text(json.dumps(fleet), encoding="utf-8")
    command = [sys.executable, "-m", "hfspec", "serve", str(file), "server.port=0"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=dict(os.environ)
    )
    lines: list[str] = []
    found = threading.Event()
    reader = threading.Thread(target=_read, args=(process, lines, found), daemon=True)
    reader.start()
    try:
        found.wait(START_SECONDS)
        address = next((match[1] for line in lines if (match := READY.search(line))), None)
        assert address is not None, "the server did not become ready:\n" + "".join(lines)
        yield Served(address, process, artifacts, lines)
    finally:
        _end(process)
        reader.join(STOP_SECONDS)


def fleet_of(build: Callable[..., Path], checkpoint: Callable[[str], Path], *names: str) -> dict[str, Path]:
    """The compiled artifacts of these names of MODELS."""
    return {name: build(checkpoint(source), task, **keys) for name in names for source, task, keys in [MODELS[name]]}


def entries(artifacts: dict[str, Path]) -> dict[str, Any]:
    """The fleet file's ``models`` for these artifacts."""
    return {
        name: {
            "artifact": str(folder),
            "aliases": ALIASES.get(name, []),
            "threads": 1,
            "urls_in_inputs": name in URLS,
        }
        for name, folder in artifacts.items()
    }


def _read(process: subprocess.Popen[str], lines: list[str], found: threading.Event) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line)
        if READY.search(line):
            found.set()
    found.set()


def _end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)
