"""Specs over tiny checkpoints, compiled through the public functions."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import hfspec
from hfspec.ir.artifact import Artifact
from tests.forks import ForkServer

TASKS = {
    "gpt2": "text-generation",
    "gpt2-sharded": "text-generation",
    "llama-chat": "text-generation",
    "minilm-like": "feature-extraction",
    "st-dense": "feature-extraction",
}


def write_spec(place: Path, model: Path, /, **keys: object) -> Path:
    """A spec file in ``place`` for the checkpoint in ``model``; ``keys`` are added or replace."""
    task = TASKS.get(model.name, "text-classification")
    library = "sentence-transformers" if task == "feature-extraction" else "transformers"
    document = {"spec_version": 1, "library": library, "task": task, "model": {"path": str(model)}, **keys}
    place.mkdir(parents=True, exist_ok=True)
    spec = place / "spec.yaml"
    spec.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in document.items()), encoding="utf-8")
    return spec


@pytest.fixture
def spec_for(tmp_path: Path, checkpoint: Callable[[str], Path]) -> Callable[..., Path]:
    """``spec_for(name, **keys)``: a spec over a tiny checkpoint that must not be changed."""
    return lambda model, /, **keys: write_spec(tmp_path / "specs", checkpoint(model), **keys)


@pytest.fixture(scope="session")
def compiled(shared_folder: Path, checkpoint: Callable[[str], Path]) -> Callable[[str], Artifact]:
    """``compiled(name)``: the artifact of a tiny checkpoint, made once. Never write into it: copy it."""
    done: dict[str, Artifact] = {}

    def get(name: str) -> Artifact:
        if name not in done:
            folder = shared_folder / "artifacts" / f"{name}-{id(done)}"
            done[name] = hfspec.compile(write_spec(folder, checkpoint(name)), output=folder / "artifact")
        return done[name]

    return get


@pytest.fixture
def copied(tmp_path: Path, compiled: Callable[[str], Artifact]) -> Callable[[str], Path]:
    """``copied(name)``: a copy of a tiny checkpoint's artifact that the test may break."""
    return lambda name: Path(shutil.copytree(compiled(name).path, tmp_path / f"artifact-{name}"))


@pytest.fixture(scope="session")
def forks(shared_folder: Path, checkpoint: Callable[[str], Path]) -> Iterator[ForkServer]:
    """A process that runs scripts in forks of itself."""
    server = ForkServer(write_spec(shared_folder / f"warm-{os.getpid()}", checkpoint("bert-sentiment")))
    yield server
    server.close()


@pytest.fixture
def artifact(tmp_path: Path, compiled: Callable[[str], Artifact]) -> Path:
    """A copy of a good artifact that the test may break."""
    return Path(shutil.copytree(compiled("bert-sentiment").path, tmp_path / "artifact"))


def tree_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change_json(path: Path, **keys: object) -> None:
    value = {**json.loads(path.read_text()), **keys}
    path.write_text(json.dumps({key: item for key, item in value.items() if item is not None}))


def change_tensors(folder: Path, change: Callable[[dict], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def plan_refusal(spec: Path) -> hfspec.SpecError:
    """Why the plan of a spec is refused."""
    with pytest.raises(hfspec.SpecError) as caught:
        hfspec.plan(spec)
    return caught.value


def refusal(spec: Path, *overrides: str) -> hfspec.SpecError:
    """Why the spec is refused; nothing may have been written."""
    target = spec.parent / "target"
    with pytest.raises(hfspec.SpecError) as caught:
        hfspec.compile(spec, output=target, overrides=overrides)
    assert sorted(path.name for path in spec.parent.iterdir()) == [spec.name]
    return caught.value
