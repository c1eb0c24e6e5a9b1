"""Artifacts for the runtime's tests: compiled, once a run, from the tiny checkpoints."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import hfspec
from hfspec.tasks import table
from tests.checkpoint_tasks import task_of
from tests.samples import ST, TRANSFORMERS


@pytest.fixture(autouse=True)
def _own_cache(shared_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What load remembers of verified files is kept with the test run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_folder / "cache"))


@pytest.fixture(scope="session")
def build(shared_folder: Path) -> Callable[..., Path]:
    """``build(checkpoint_folder, task, **keys)``: the folder of an artifact compiled from a spec with these keys. Tasks
    of transformers that sentence-transformers has too are its own, but for the ones of MLflow's names.
    """

    def get(source: Path, task: str, **keys: Any) -> Path:
        is_sentences = ST in table.libraries(task) and not task.startswith("llm/")
        library = ST if is_sentences else TRANSFORMERS
        spec = {"spec_version": 1, "library": library, "task": task, "model": {"path": str(source)}, **keys}
        text = json.dumps(spec, sort_keys=True)
        name = f"{source.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        folder = shared_folder / "artifacts" / name
        folder.parent.mkdir(exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                file = folder.with_name(f"{name}.yaml")
                file.write_text(text, encoding="utf-8")
                hfspec.compile(file, output=folder, run=False)
        return folder

    return get


@pytest.fixture(scope="session")
def artifact(build: Callable[..., Path], checkpoint: Callable[[str], Path]) -> Callable[..., Path]:
    """``artifact(checkpoint_name, **keys)``: the same from a tiny checkpoint by name, for the task it is made for."""

    def get(name: str, task: str = "", **keys: Any) -> Path:
        return build(checkpoint(name), task or task_of(checkpoint(name))[1], **keys)

    return get


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[..., Path]:
    """``copy_of(folder)``: a copy that a test may damage."""

    def get(folder: Path, name: str = "copy") -> Path:
        return shutil.copytree(folder, tmp_path / name)

    return get
