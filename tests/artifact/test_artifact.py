"""What lies in an artifact, and that it runs by itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import hfspec
from hfspec.artifact.yaml_text import to_yaml
from tests.compiling import tree_of, write_spec

OWN_CODE = """
import atexit, runpy, sys
sys.argv[0] = sys.argv[1]
sys.argv[1:] = sys.argv[2:]

@atexit.register
def say():
    print([module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "hfspec"], file=sys.stderr)

runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_layout(compiled):
    artifact = compiled("bert-sentiment")
    found = set(tree_of(artifact.path))
    assert {
        *("artifact.json", "spec.yaml", "MLmodel", "requirements.txt", "conda.yaml", "python_env.yaml", "predictor.py"),
        *("README.md", "LICENSE", "model/config.json", "model/model.safetensors", "model/tokenizer.json"),
        "code/hfspec.zip",
    } <= found
    assert not any("__pycache__" in path for path in found)
    assert "input_example.json" not in found
    assert all(path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644) for path in artifact.path.rglob("*"))


def test_the_code_is_one_archive_with_the_runtime_half(compiled):
    with zipfile.ZipFile(compiled("bert-sentiment").path / "code/hfspec.zip") as archive:
        found = archive.namelist()
        load = archive.read("hfspec/runtime/load.py")
    assert load == Path(hfspec.__file__).with_name("runtime").joinpath("load.py").read_bytes()
    assert {"hfspec/__init__.py", "hfspec/errors.py", "hfspec/tasks/table.py", "hfspec/ir/artifact.py"} <= set(found)
    assert not any(path.startswith(("hfspec/stages", "hfspec/cli", "hfspec/language")) for path in found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("excluded", [("__pycache__",), ("__pycache__", "*.pyc", "*.pyo", ".git", "*.egg-info")])
def test_a_copy_by_tools_that_leave_out_byte_code_is_whole(excluded, compiled, tmp_path):
    """As rsync with its usual excludes and a container's build context make one."""
    folder = compiled("bert-sentiment").path
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(*excluded))
    assert hfspec.verify(copy) == hfspec.verify(folder)
    command = [sys.executable, str(copy / "predictor.py"), "a fine film"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)[0]["label"] == hfspec.load(folder).predict("a fine film")["label"][0]
    assert hfspec.verify(copy)


def test_card_and_licence(compiled, checkpoint, own_copy, tmp_path):
    artifact = compiled("bert-sentiment").path
    assert (artifact / "README.md").read_bytes() == (checkpoint("bert-sentiment") / "README.md").read_bytes()
    model = own_copy("bert-sentiment")
    for path in [path for path in model.iterdir() if path.name.startswith(("README", "LICENSE"))]:
        path.unlink()
    spec = write_spec(tmp_path / "s", model)
    bare = hfspec.compile(spec, output=tmp_path / "bare").path
    assert "has no model card" in (bare / "README.md").read_text()
    assert "declares none" in (bare / "LICENSE").read_text()
    assert any("licence" in note for note in hfspec.plan(spec).notes)
    (model / "README.md").write_text("---\nlicense: other\nlicense_name: strange-1.0\n---\n# Card\n")
    declared = hfspec.compile(spec, output=tmp_path / "declared").path
    assert "other, strange-1.0" in (declared / "LICENSE").read_text()
    (model / "LICENSE").write_text("The whole text.\n")
    assert (hfspec.compile(spec, output=tmp_path / "whole").path / "LICENSE").read_text() == "The whole text.\n"


@pytest.mark.parametrize(
    ("front", "declared"),
    [
        ("license: [mit, apache-2.0]", "mit, apache-2.0"),
        ("license:\n- mit\n- bsd", "mit, bsd"),
        ('license: other # x\nlicense_name: "a b" # c\nlicense_link: https://x.y/#z', "other, a b, https://x.y/#z"),
        ("license: [a, b\n: {", ""),
        ("- license", ""),
        ("license: {a: 1}", ""),
    ],
)
def test_declared_licence(front, declared, own_copy, tmp_path):
    model = own_copy("bert-sentiment")
    (model / "LICENSE").unlink(missing_ok=True)
    (model / "README.md").write_text(f"---\n{front}\n---\n# Card\n")
    text = next(
        step.content for step in hfspec.plan(write_spec(tmp_path / "s", model)).steps if step.target == "LICENSE"
    )
    assert (f"declares its licence as: {declared}\n" if declared else "declares none") in text.decode()


@pytest.mark.parametrize("name", ["LICENSE.MD", "license", "licence.txt", "LICENSE-MIT", "COPYING.txt"])
def test_licence_under_another_name(name, own_copy, tmp_path):
    model = own_copy("bert-sentiment")
    (model / "LICENSE").unlink(missing_ok=True)
    (model / name).write_text("The whole text.")
    steps = {step.target: step for step in hfspec.plan(write_spec(tmp_path / "s", model)).steps}
    assert steps["LICENSE"].path == name
    assert f"model/{name}" not in steps


def test_requirements_are_pinned_to_what_is_installed(compiled):
    lines = (compiled("minilm-like").path / "requirements.txt").read_text().split()
    pinned = dict(line.split("==") for line in lines)
    assert set(pinned) == {"numpy", "pandas", "safetensors", "tokenizers", "torch", "transformers"}
    assert all(version(name).split("+")[0] == number for name, number in pinned.items())


def test_resolved_spec(compiled):
    spec = yaml.safe_load((compiled("bert-sentiment").path / "spec.yaml").read_text())
    assert spec["name"] == "spec"
    assert spec["model"] == {"path": "bert-sentiment"}
    assert spec["task"] == "text-classification"


def test_mlmodel(compiled):
    model = yaml.safe_load((compiled("minilm-like").path / "MLmodel").read_text())
    flavor = model["flavors"]["python_function"]
    assert flavor["loader_module"] == "hfspec.runtime.mlflow_model"
    assert (compiled("minilm-like").path / flavor["code"]).is_file()
    assert (compiled("minilm-like").path / flavor["env"]["conda"]).is_file()
    assert json.loads(model["signature"]["inputs"]) == [{"name": "text", "type": "string", "required": True}]
    assert json.loads(model["signature"]["outputs"]) == [
        {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 32]}}
    ]
    assert "utc_time_created" not in model


def test_mlmodel_shows_the_columns_and_leaves_checking_them_to_the_predictor(compiled):
    model = yaml.safe_load((compiled("bert-sentiment").path / "MLmodel").read_text())
    assert model["is_signature_from_type_hint"] is True
    assert [(column["name"], column["required"]) for column in json.loads(model["signature"]["inputs"])] == [
        ("text", True),
        ("text_pair", False),
    ]
    assert [column["name"] for column in json.loads(model["signature"]["outputs"])] == ["label", "score"]


def test_whoever_imports_the_artifacts_code_leaves_no_byte_code_in_it(artifact):
    """As MLflow does: with the archive on the path, and byte code not switched off."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    script = "import sys; sys.path.insert(0, sys.argv[1]); import hfspec.runtime.mlflow_model as m; print(m.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", script, artifact / "code/hfspec.zip"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(artifact)
    assert hfspec.verify(artifact)


def test_mlflows_entry_point_answers(compiled):
    from hfspec.runtime.mlflow_model import _load_pyfunc

    folder = compiled("bert-sentiment").path
    assert _load_pyfunc(str(folder)).predict(["a fine film"]).equals(hfspec.load(folder).predict(["a fine film"]))


def test_predictor_runs_its_own_code_from_a_moved_artifact(compiled, tmp_path):
    place = tmp_path / "moved here" / "artifact"
    shutil.copytree(compiled("bert-sentiment").path, place)
    before = tree_of(place)
    command = [sys.executable, "-c", OWN_CODE, str(place / "predictor.py"), "a fine film"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    expected = hfspec.load(place).predict(["a fine film"]).to_dict("records")
    (row,) = json.loads(done.stdout)
    assert row["label"] == expected[0]["label"]
    assert row["score"] == pytest.approx(expected[0]["score"], abs=1e-6)
    files = [Path(name) for name in eval(done.stderr.strip().splitlines()[-1])]
    assert files
    assert all(path.is_relative_to(place / "code") for path in files)
    assert tree_of(place) == before


@pytest.mark.parametrize(("stream", "arguments"), [("stdin", ["--json", "-"]), ("stdout", ["a fine film"])])
def test_predictor_with_a_closed_stream(stream, arguments, compiled, monkeypatch, capsys):
    from hfspec.runtime.command import main

    with monkeypatch.context() as patch:
        patch.setattr(sys, stream, None)
        assert main(compiled("bert-sentiment").path, arguments) == 2
    assert "is closed" in capsys.readouterr().err


def test_example_is_run_and_kept(checkpoint, tmp_path):
    example = ["a fine film", "schöne Grüße"]
    spec = write_spec(tmp_path / "s", checkpoint("bert-sentiment"), input_example=example)
    artifact = hfspec.compile(spec, output=tmp_path / "target")
    assert json.loads((artifact.path / "input_example.json").read_text(encoding="utf-8")) == example
    assert len(hfspec.load(artifact.path).predict(example)) == 2
    assert hfspec.verify(artifact.path) == artifact.manifest
    model = yaml.safe_load((artifact.path / "MLmodel").read_text())
    assert model["saved_input_example_info"]["artifact_path"] == "input_example.json"


def test_output_against_a_signature_that_does_not_fit(checkpoint, tmp_path):
    spec = write_spec(
        tmp_path / "s",
        checkpoint("minilm-like"),
        input_example=["a fine film"],
        signature={"output_tensor": {"dtype": "float32", "shape": [-1, 7]}},
    )
    with pytest.raises(hfspec.SpecError, match="7"):
        hfspec.compile(spec, output=tmp_path / "target")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1, "b": [1, 2.5, {"c": None, "d": [[], {}, [1, [2]]]}], "e": {}},
        {"yes": "no", "null": "null", "1": "1", "1e5": "1e5", "0x1F": "0o7", "": "", " ": "~", "on": True, "y": "n"},
        {"text": "line\nbreak\ttab \"quote\" 'single' \\ # : - ? ü 漢字 🎬 \x7f \x85 \u2028 \ufeff \x00"},
        {"numbers": [0, -1, 10**20, 1e-05, 1.5e300, -0.0, 0.1]},
        {"list": [{"a": 1, "b": {"c": 2}}, [{"d": 3}], "- x", "? y", "!tag", "&a", "*b", "%", "@", "`"]},
    ],
)
def test_yaml_reads_back(value):
    from ruamel.yaml import YAML

    text = to_yaml(value)
    assert yaml.safe_load(text) == value
    assert YAML(typ="safe", pure=True).load(text) == value
