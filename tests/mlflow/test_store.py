"""Artifacts in MLflow's tracking store and registry: every byte stays, and what MLflow adds does no harm."""

from __future__ import annotations

import os
import shutil
import tomllib
from pathlib import Path

import mlflow
import pytest
import yaml

import hfspec
from hfspec.artifact.texts import MLFLOW

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # of MLflow's database
META = "registered_model_meta"


def contents(folder):
    files = (path for path in Path(folder).rglob("*") if path.is_file() and path.name != META)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def logged(folder):
    """The way that the documentation shows."""
    model = mlflow.initialize_logged_model(name="sentiment", model_type="hfspec")
    mlflow.MlflowClient().log_model_artifacts(model.model_id, str(folder))
    mlflow.finalize_logged_model(model.model_id, "READY")
    return f"models:/{model.model_id}"


def in_a_run(folder):
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(folder), "model")
    return f"runs:/{run.info.run_id}/model"


@pytest.mark.parametrize("way", [logged, in_a_run])
def test_logged_registered_and_fetched_whole(way, of_task, store):
    folder = of_task("text-classification")
    uri = way(folder)
    version = mlflow.register_model(uri, way.__name__).version
    expected = hfspec.load(folder).predict(["a fine film"])
    for number, place in enumerate((uri, f"models:/{way.__name__}/{version}")):
        (store / str(number)).mkdir()
        fetched = Path(mlflow.artifacts.download_artifacts(place, dst_path=str(store / str(number))))
        assert contents(fetched) == contents(folder)
        assert hfspec.verify(fetched)
        assert mlflow.pyfunc.load_model(place).predict(["a fine film"]).equals(expected)
    assert (fetched / META).is_file()


def test_the_file_of_the_registry_is_the_only_one_that_may_be_added(of_task, copy_of):
    folder = copy_of(of_task("text-classification"))
    (folder / META).write_text("model_name: sentiment\nmodel_version: '1'\n")
    assert hfspec.verify(folder)
    (folder / "model" / META).write_text("model_name: sentiment\n")
    with pytest.raises(hfspec.VerificationError, match=f"model/{META}: is not expected"):
        hfspec.verify(folder)


def _with(content):
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    "make",
    [
        *(Path.mkdir, os.mkfifo, lambda path: path.symlink_to("MLmodel")),
        *(_with(b""), _with(b"#!/bin/sh\n"), _with(b"\x80\x04."), _with(b"model_name: x\n")),
        *(_with(b"model_name: x\nmodel_version: y\nmore: z\n"), _with(b"model_name: x\nmodel_version: " + b"9" * 5000)),
    ],
)
def test_only_what_mlflow_writes_may_have_its_name(make, of_task, copy_of):
    folder = copy_of(of_task("text-classification"))
    make(folder / META)
    with pytest.raises(hfspec.VerificationError, match=META):
        hfspec.verify(folder)


def test_a_changed_artifact_is_refused_before_anything_is_loaded(of_task, copy_of):
    folder = copy_of(of_task("text-classification"))
    weights = folder / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(hfspec.VerificationError, match=r"model\.safetensors: has other content"):
        mlflow.pyfunc.load_model(str(folder))


def test_loading_leaves_the_folder_as_it_was_and_warns_of_nothing(of_task, copy_of, capfd):
    folder = copy_of(of_task("feature-extraction", "sentence-transformers"))
    before = contents(folder)
    mlflow.pyfunc.load_model(str(folder)).predict(["a"])
    assert contents(folder) == before
    assert "WARNING" not in capfd.readouterr().err


def test_the_environments_are_what_mlflow_reads(of_task):
    from mlflow.utils.environment import _PythonEnv

    folder = of_task("text-classification")
    assert Path(mlflow.pyfunc.get_model_dependencies(str(folder))).read_text() == (
        (folder / "requirements.txt").read_text()
    )
    environment = _PythonEnv.from_yaml(folder / "python_env.yaml")
    assert (
        environment.python
        == yaml.safe_load((folder / "MLmodel").read_text())["flavors"]["python_function"]["python_version"]
    )
    assert environment.dependencies == ["-r requirements.txt", MLFLOW]
    requirements = (folder / "requirements.txt").read_text().split()
    conda = yaml.safe_load((folder / "conda.yaml").read_text())
    assert conda["dependencies"][-1] == {"pip": [*requirements, MLFLOW]}


def test_the_environments_name_the_mlflow_of_the_extra():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["mlflow"] == [MLFLOW]
    assert MLFLOW in project["optional-dependencies"]["dev"]


def test_mlflows_cli_predicts(of_task, tmp_path):
    from mlflow.models.cli import commands

    source, target = tmp_path / "in.csv", tmp_path / "out.json"
    source.write_text("id,text\n1,a fine film\n")
    folder = shutil.copytree(of_task("text-classification"), tmp_path / "artifact")
    options = ["-m", str(folder), "-i", str(source), "-o", str(target), "-t", "csv", "--env-manager", "local"]
    from click.testing import CliRunner

    done = CliRunner().invoke(commands, ["predict", *options])
    assert done.exit_code == 0, done.output
    assert yaml.safe_load(target.read_text()) == {"predictions": hfspec.load(folder).predict_json(["a fine film"])}
