"""A library of its own files and without torch is compiled, loaded and asked by its row alone."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import hfspec
from hfspec.artifact.texts import code_archive
from hfspec.tasks.libraries import LIBRARIES
from tests.hostile.sealing import sealed

ROOT = Path(hfspec.__file__).parent
SCORES = {"fine": 2.0, "old": -0.5, "dull": -3.0}
BLOCKED = """
import json, sys
for name in ("torch", "transformers", "sentence_transformers", "safetensors"):
    sys.modules[name] = None  # importing it raises ModuleNotFoundError
import hfspec
from hfspec.errors import HfspecError
from tests.libraries import third
third.known()
try:
    {body}
except HfspecError as error:
    print(json.dumps({{"refused": type(error).__name__, "message": str(error)}}))
"""
ASKED = """
    predictor = hfspec.load(sys.argv[1], **json.loads(sys.argv[2]))
    answer = predictor.predict_json(["a fine old film", "dull", ""])
    rows = list(predictor.predict_iter(iter(["fine", "fine fine"]), outputs="full"))
    print(json.dumps({"answer": answer, "rows": rows, "device": predictor.device, "backend": predictor.backend,
        "frame": predictor.predict("dull").to_dict("list"), "components": predictor.components(),
        "patches": [state.on for state in predictor.patches.values()]}))
"""


def ran(body, *arguments):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            BLOCKED.replace("{body}", body.strip()).replace("{{", "{").replace("}}", "}"),
            *arguments,
        ],
        cwd=ROOT.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def compiled(folder, **keys):
    document = {"spec_version": 1, "library": "onnx-words", "task": "text-classification", **keys}
    document["model"] = {"path": str(folder / "checkpoint")}
    (folder / "spec.yaml").write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in document.items()))
    body = "made = hfspec.compile(sys.argv[1], output=sys.argv[2], run=False)\n"
    body += "    print(json.dumps({'path': str(made.path), 'files': [one.path for one in made.manifest.files]}))"
    return ran(body, str(folder / "spec.yaml"), str(folder / "out"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint as ONNX Runtime's generate() has it, and its artifact."""
    folder = tmp_path_factory.mktemp("third")
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "genai_config.json").write_text(json.dumps({"scores": SCORES}))
    (checkpoint / "model.onnx").write_bytes(b"graph")
    (checkpoint / "model.onnx.data").write_bytes(b"weights")
    (checkpoint / "tokenizer.json").write_text("{}")
    (checkpoint / "model.safetensors").write_bytes(b"another library's")
    return folder


@pytest.fixture(scope="module")
def artifact(folder):
    return compiled(folder, lower_case=True)


def test_a_key_of_its_own_is_kept(artifact, tmp_path):
    assert "lower_case: true" in (Path(artifact["path"]) / "spec.yaml").read_text()
    said = ran("hfspec.plan(sys.argv[1], ['library=transformers'])", str(Path(artifact["path"]).with_name("spec.yaml")))
    assert said["refused"] == "SpecError"
    assert "lower_case" in said["message"]


def test_its_own_files_are_compiled(artifact):
    model = {path for path in artifact["files"] if path.startswith("model/")}
    named = ("genai_config.json", "model.onnx", "model.onnx.data", "tokenizer.json")
    assert model == {f"model/{name}" for name in named}
    needed = (Path(artifact["path"]) / "requirements.txt").read_text()
    assert re.fullmatch(r"numpy==\S+\n", needed)


def test_it_answers_where_torch_cannot_be_imported(artifact):
    said = ran(ASKED, artifact["path"], "{}")
    assert said["answer"] == [
        {"label": "good", "score": 1.5},
        {"label": "bad", "score": -3.0},
        {"label": "bad", "score": 0},
    ]
    assert said["rows"] == [{"score": 2.0}, {"score": 4.0}]
    assert said["frame"] == {"label": ["bad"], "score": [-3.0]}
    assert (said["device"], said["backend"], said["components"]) == ("cpu", "onnx-words", {"model": SCORES})
    assert not any(said["patches"])


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"device": "cuda"}, "runs on one thread of the CPU"),
        ({"backend": "onednn"}, "runs on one thread of the CPU"),
        ({"device_map": "auto"}, "runs on one thread of the CPU"),
        ({"dtype": "half"}, "dtype must be one of"),
        ({"model_config": {"top_k": 2}}, "top_k"),
    ],
)
def test_what_it_cannot_be_asked_for_is_refused_by_its_row(artifact, options, refused):
    said = ran(ASKED, artifact["path"], json.dumps(options))
    assert refused in said["message"]


def test_a_checkpoint_of_another_library_is_refused(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "config.json").write_text("{}")
    assert "has no genai_config.json" in compiled(tmp_path)["message"]
    (tmp_path / "checkpoint" / "genai_config.json").write_text("{}")
    said = compiled(tmp_path)
    assert said["refused"] == "SpecError"
    assert "no scores" in said["message"]


def test_what_its_trust_finds_keeps_it_from_being_loaded(artifact, tmp_path):
    shutil.copytree(artifact["path"], tmp_path / "a")
    sealed(
        tmp_path / "a", lambda manifest: replace(manifest, deployment=replace(manifest.deployment, model_class="Other"))
    )
    said = ran("hfspec.load(sys.argv[1])", str(tmp_path / "a"))
    assert said["refused"] == "VerificationError"
    assert "'Other' as the model's class" in said["message"]


@pytest.mark.parametrize("name", LIBRARIES)
def test_each_part_of_a_row_is_there(name):
    row = LIBRARIES[name]
    parts = ("layout", "planning", "placing", "loading", "components", "pipeline", "trust")
    assert all(callable(row.part(part)) for part in parts)
    archive = code_archive()
    for part in ("placing", "loading", "components", "pipeline", "trust"):
        module = getattr(row, part).partition(":")[0].replace(".", "/")
        assert f"{module}.py".encode() in archive


def test_no_name_of_a_library_is_tested_outside_the_table():
    """What one library does differently is a field of its row."""
    found = []
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
            found += [
                (path.name, side.lineno)
                for side in sides
                if isinstance(side, ast.Constant) and side.value in LIBRARIES and "library" in ast.dump(node)
            ]
    assert not found
