"""The artifacts that MLflow loads: one a task, compiled once a run."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import hfspec
from tests.checkpoints.adapters import make_adapter
from tests.mlflow.deployments import DEPLOYMENTS, Deployment

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's, of its own type hints, while it is imported
    import mlflow.pyfunc

# How an artifact may be saved, besides whole.
MODES: dict[str, dict[str, Any]] = {
    "reference": {"save_mode": "reference"},
    "adapter": {"adapter": {}},
    "merged": {"adapter": {"merge": True}},
    "adapter-on-reference": {"adapter": {}, "save_mode": "reference"},
}


@pytest.fixture(scope="module", autouse=True)
def _own_cache(shared_folder: Path) -> Iterator[None]:
    """One memory of where weights were, for the fixtures of a module that compile as for its tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(shared_folder / "cache"))
        yield


@pytest.fixture(scope="session")
def artifact(shared_folder: Path, checkpoint: Callable[[str], Path]) -> Callable[[Deployment], Path]:
    """``artifact(deployment)``: its folder. Never write into it: copy it."""

    def get(deployment: Deployment) -> Path:
        folder = shared_folder / "mlflow" / deployment.name
        folder.parent.mkdir(exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                file = folder.with_name(f"{deployment.name}.yaml")
                spec = {"spec_version": 1, **deployment.spec(checkpoint(deployment.checkpoint))}
                file.write_text(json.dumps(spec), encoding="utf-8")
                hfspec.compile(file, output=folder, run=False)
        return folder

    return get


@pytest.fixture(scope="session")
def of_task(artifact: Callable[[Deployment], Path]) -> Callable[..., Path]:
    """``of_task(task)``: the folder of the artifact for that task."""

    def get(task: str, library: str = "transformers") -> Path:
        return artifact(next(each for each in DEPLOYMENTS if (each.task, each.library) == (task, library)))

    return get


@pytest.fixture(scope="session")
def of_mode(shared_folder: Path, checkpoint: Callable[[str], Path]) -> Callable[[str], Path]:
    """``of_mode(mode)``: the folder of an artifact over text saved in that way; see MODES."""

    def get(mode: str) -> Path:
        folder = shared_folder / "mlflow" / mode
        folder.parent.mkdir(exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                model = checkpoint("bert-sentiment")
                spec = {"library": "transformers", "task": "text-classification", "model": {"path": str(model)}}
                if "adapter" in MODES[mode]:
                    place = folder.with_name(f"{mode}-adapter")
                    spec["adapter"] = {"path": str(make_adapter("sentiment-lora", model, place))}
                    spec["adapter"] |= MODES[mode]["adapter"]
                file = folder.with_name(f"{mode}.yaml")
                saved = {"save_mode": MODES[mode].get("save_mode", "full"), "input_example": ["a fine film", "a film"]}
                file.write_text(json.dumps({"spec_version": 1, **spec, **saved}), encoding="utf-8")
                hfspec.compile(file, output=folder, run=False)
        return folder

    return get


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    return lambda folder: Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a tracking store and registry, MLflow's current one."""
    folder = tmp_path_factory.mktemp("mlflow")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.create_experiment("tests", artifact_location=(folder / "store").as_uri())
    mlflow.set_experiment("tests")
    yield folder
    mlflow.set_tracking_uri(before)


@pytest.fixture
def store(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one, beside that store."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
