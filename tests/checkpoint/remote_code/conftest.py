"""Checkpoints with code of their own, and specs over them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import hfspec
from hfspec.ir.artifact import Artifact
from tests.checkpoints.reviewed import reviewed
from tests.compiling import write_spec

TASKS = {
    "coded-sentiment": ("transformers", "text-classification"),
    "coded-tokenizer": ("transformers", "text-classification"),
    "coded-writer": ("transformers", "text-generation"),
    "coded-features": ("transformers", "feature-extraction"),
    "coded-embedder": ("sentence-transformers", "feature-extraction"),
}


def spec_over(place: Path, model: Path, **keys: object) -> Path:
    """A spec that lists every Python file of the model, unless ``keys`` say otherwise."""
    library, task = TASKS[model.name]
    return write_spec(place, model, **{"library": library, "task": task, "trust_remote_code": reviewed(model), **keys})


@pytest.fixture(scope="session")
def compiled(shared_folder: Path, checkpoint: Callable[[str], Path]) -> Callable[[str], Artifact]:
    """``compiled(name)``: the artifact of a checkpoint with reviewed code, made once. Never write into it: copy it."""
    done: dict[str, Artifact] = {}

    def get(name: str) -> Artifact:
        if name not in done:
            folder = shared_folder / "coded" / f"{name}-{id(done)}"
            done[name] = hfspec.compile(spec_over(folder, checkpoint(name)), output=folder / "artifact")
        return done[name]

    return get


@pytest.fixture
def copied(tmp_path: Path, compiled: Callable[[str], Artifact]) -> Callable[[str], Path]:
    """``copied(name)``: a copy of an artifact that the test may break."""
    return lambda name: Path(shutil.copytree(compiled(name).path, tmp_path / f"artifact-{name}"))
