"""However an artifact was saved, MLflow answers as hfspec does."""

from __future__ import annotations

import json
import shutil

import mlflow
import pytest

import hfspec
from tests.hub.server import Hub
from tests.mlflow.conftest import MODES

TEXTS = ["a fine film", "the worst of all the days I have seen"]


@pytest.mark.parametrize("mode", MODES)
def test_answers(mode, of_mode, of_task):
    folder = of_mode(mode)
    answer = mlflow.pyfunc.load_model(str(folder)).predict(TEXTS)
    assert answer.equals(hfspec.load(folder).predict(TEXTS))
    alike = answer.equals(hfspec.load(of_task("text-classification")).predict(TEXTS))
    assert alike == ("adapter" not in MODES[mode])


def test_the_folder_of_the_weights_can_be_named(of_mode, checkpoint, tmp_path, monkeypatch):
    folder = of_mode("reference")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where nobody remembers where the weights were
    weights = shutil.copytree(checkpoint("bert-sentiment"), tmp_path / "weights")
    model = mlflow.pyfunc.load_model(str(folder), model_config={"sources": {"model": str(weights)}})
    assert model.predict(TEXTS).equals(hfspec.load(folder, sources={"model": weights}).predict(TEXTS))
    with pytest.raises(hfspec.UsageError):
        mlflow.pyfunc.load_model(str(folder), model_config={"sources": {"adapter": str(weights)}})


def test_a_reference_to_the_hub_is_kept_by_a_registry(hub: Hub, tmp_path, store):
    repo = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
    spec = tmp_path / "sentiment.yaml"
    keys = {"spec_version": 1, "library": "transformers", "task": "text-classification", "save_mode": "reference"}
    spec.write_text(json.dumps({**keys, "model": {"repo": repo, "revision": "main"}}))
    folder = hfspec.compile(spec, output=tmp_path / "artifact", run=False).path
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(folder), "model")
    version = mlflow.register_model(f"runs:/{run.info.run_id}/model", "by-reference").version
    shutil.rmtree(tmp_path / "hf-cache")
    answer = mlflow.pyfunc.load_model(f"models:/by-reference/{version}").predict(TEXTS)
    assert answer.equals(hfspec.load(folder).predict(TEXTS))
