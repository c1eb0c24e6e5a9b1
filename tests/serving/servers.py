"""A real server over tiny artifacts, as a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.serving.process import Served

__all__ = ["MODELS", "Served", "entries", "fleet_of", "serving"]
# Name in the fleet -> the tiny checkpoint, its task and the keys of its spec.
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "assistant": ("llama-chat", "llm/v1/chat", {}),
    "writer": ("llama-chat", "text-generation", {}),
    "sentiment": ("bert-sentiment", "text-classification", {}),
    "embedder": ("minilm-like", "feature-extraction", {"signature": {"params": {"normalize_embeddings": False}}}),
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
SECONDS, PIXELS = 5, 10_000  # of a sound and an image
ALIASES = {"assistant": ["gpt-4o-mini"], "embedder": ["text-embedding-3-small"], "whisper": ["whisper-1"]}


@contextmanager
def serving(folder: Path, fleet: dict[str, Any], artifacts: dict[str, Path]) -> Iterator[Served]:
    """A server over this fleet file, which is written into ``folder``; its address is free."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "fleet.yaml"
    file.write_text(json.dumps(fleet), encoding="utf-8")
    with Served(file) as served:
        served.artifacts = artifacts
        yield served


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
            "limits": {"audio_seconds": SECONDS, "image_pixels": PIXELS},
        }
        for name, folder in artifacts.items()
    }
