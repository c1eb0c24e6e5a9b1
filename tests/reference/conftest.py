"""Reference artifacts and the full ones that they must be like."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hfspec
from hfspec.ir.artifact import Artifact
from tests.checkpoint_tasks import task_of
from tests.forks import ForkServer
from tests.hub.repository import read_folder
from tests.hub.server import Hub

TEXTS = ["a fine film", "dull"]
REPO = "references/sentiment"


def write(place: Path, name: str, model: dict[str, str], **keys: object) -> Path:
    library, task = task_of(Path(model.get("path", "")))
    document = {"spec_version": 1, "library": library, "task": task, "name": "mine", "model": model, **keys}
    place.mkdir(parents=True, exist_ok=True)
    spec = place / "spec.yaml"
    spec.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in document.items()), encoding="utf-8")
    return spec


@pytest.fixture(autouse=True)
def own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What hfspec remembers: of this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "memory"))
    return tmp_path / "memory" / "hfspec"


@pytest.fixture
def source(tmp_path: Path, checkpoint: Callable[[str], Path]) -> Callable[[str], Path]:
    """``source(name)``: a copy of a tiny checkpoint, which the test may change."""
    return lambda name: Path(shutil.copytree(checkpoint(name), tmp_path / "sources" / name, dirs_exist_ok=True))


@pytest.fixture
def both(tmp_path: Path, source: Callable[[str], Path]) -> Callable[..., tuple[Artifact, Artifact]]:
    """``both(name, **keys)``: the full and the reference artifact of one spec over a folder."""

    def get(name: str, **keys: object) -> tuple[Artifact, Artifact]:
        folder = tmp_path / "sources" / name
        model = {"path": str(folder if folder.exists() else source(name))}
        spec = write(tmp_path / "specs", name, model, **keys)
        full = hfspec.compile(spec, tmp_path / "full", ["save_mode=full"], run=False)
        return full, hfspec.compile(spec, tmp_path / "reference", ["save_mode=reference"], run=False)

    return get


@pytest.fixture
def reference(both: Callable[..., tuple[Artifact, Artifact]]) -> Path:
    """The reference artifact of a tiny classifier in a folder."""
    return both("bert-sentiment")[1].path


@pytest.fixture
def on_hub(hub: Hub, tmp_path: Path, checkpoint: Callable[[str], Path]) -> Iterator[Callable[..., Artifact]]:
    """``on_hub(**keys)``: the reference artifact of a tiny classifier on the hub, at its ``main``."""
    hub.publish(REPO, read_folder(checkpoint("bert-sentiment")))

    def get(**keys: object) -> Artifact:
        spec = write(tmp_path / "specs", "bert-sentiment", {"repo": REPO, "revision": "main"}, **keys)
        return hfspec.compile(spec, tmp_path / "reference", ["save_mode=reference"], run="input_example" in keys)

    yield get
    del hub.repositories[REPO]


@pytest.fixture(scope="session")
def forks(shared_folder: Path, checkpoint: Callable[[str], Path]) -> Iterator[ForkServer]:
    """A process that runs scripts in forks of itself."""
    place = shared_folder / f"warm-reference-{os.getpid()}"
    server = ForkServer(write(place, "bert-sentiment", {"path": str(checkpoint("bert-sentiment"))}))
    yield server
    server.close()


def tree_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def weights_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))
