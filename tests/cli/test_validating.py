"""validate and init: places on this machine, and revisions that can move."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import hfspec as library
from tests.cli.conftest import Run

HEAD = "spec_version: 1\nlibrary: transformers\ntask: text-classification\n"
COMMIT = "714eb0fa89d2f80546fda750413ed43d93601a13"


def written(folder: Path, text: str) -> Path:
    file = folder / "spec.yaml"
    file.write_text(HEAD + text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("model: {path: ./absent}\n", ["model", "path"], 4),
        ("model: {path: there}\nadapter: {path: absent}\n", ["adapter", "path"], 5),
        ("model: {path: there}\ncomponents:\n  tokenizer: {path: absent}\n", ["components", "tokenizer", "path"], 6),
        ("model: {path: spec.yaml}\n", ["model", "path"], 4),
    ],
)
def test_a_folder_that_does_not_exist_is_a_problem(
    hfspec: Run, tmp_path: Path, text: str, path: list[str], line: int
) -> None:
    (tmp_path / "there").mkdir()
    done = hfspec("validate", written(tmp_path, text), "--format", "json")
    assert done.returncode == 1
    (problem,) = json.loads(done.stdout)
    assert (problem["code"], problem["path"], problem["line"]) == ("no-such-folder", path, line)


@pytest.mark.parametrize("place", ["there", "./there", "../{}/there", "{}/there"])
def test_a_folder_that_exists_is_none(tmp_path: Path, place: str) -> None:
    (tmp_path / "there").mkdir()
    shown = place.format(tmp_path.name if place.startswith("..") else tmp_path)
    assert library.validate(written(tmp_path, f"model: {{path: {shown}}}\n")) == ()


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("model: {repo: org/model}\n", [("model", "repo")]),
        ("model: {repo: org/model, revision: main}\n", [("model", "revision")]),
        (f"model: {{repo: org/model, revision: {COMMIT}}}\nadapter: {{repo: org/a}}\n", [("adapter", "repo")]),
        (
            f"model: {{repo: o/m, revision: {COMMIT}}}\ncomponents:\n  tokenizer: {{repo: o/t, revision: v1}}\n",
            [("components", "tokenizer", "revision")],
        ),
        (f"model: {{repo: org/model, revision: {COMMIT}}}\n", []),
        ("model: {package: pkg/model}\n", []),
        ("model: {mlflow: models:/minilm}\n", [("model", "mlflow")]),
        ("model: {mlflow: models:/minilm/latest}\n", [("model", "mlflow")]),
        ("model: {mlflow: models:/minilm@champion}\n", [("model", "mlflow")]),
        ("model: {mlflow: models:/minilm/3}\n", []),
        ("model: {mlflow: models:/m-0af1}\n", []),
        ("model: {mlflow: runs:/0af1/model}\n", []),
    ],
)
def test_a_revision_that_can_move_is_a_remark(tmp_path: Path, text: str, paths: list[tuple[str, ...]]) -> None:
    file = written(tmp_path, text)
    assert library.validate(file) == ()
    assert [remark.path for remark in library.remarks(file)] == paths


def test_strict_makes_remarks_problems(hfspec: Run, tmp_path: Path) -> None:
    file = written(tmp_path, "model: {repo: org/model, revision: main}\n")
    done = hfspec("validate", file)
    assert (done.returncode, done.stdout) == (0, "1 spec is good\n")
    assert done.stderr.startswith(f"remark: {file}:4:")
    assert "hfspec lock" in done.stderr
    strict = hfspec("validate", file, "--strict", "--format", "json")
    assert strict.returncode == 1
    assert [problem["code"] for problem in json.loads(strict.stdout)] == ["not-pinned"]


@pytest.mark.parametrize("text", ["model: [\n", "defaults: [absent]\nmodel: {repo: org/model}\n"])
def test_strict_of_a_spec_that_cannot_be_composed_says_that_once(hfspec: Run, tmp_path: Path, text: str) -> None:
    file = written(tmp_path, text)
    usual, strict = (hfspec("validate", file, *option) for option in ((), ("--strict",)))
    assert (strict.returncode, strict.stdout, strict.stderr) == (1, usual.stdout, usual.stderr)


def test_strict_of_a_spec_that_is_no_text_is_a_problem(hfspec: Run, tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    done = hfspec("validate", file, tmp_path / "absent.yaml", "--strict")
    assert "Traceback" not in done.stderr
    assert done.returncode in (1, 2)


def test_a_lock_that_is_none_hides_no_other_file(hfspec: Run, tmp_path: Path) -> None:
    file = written(tmp_path, "model: {repo: org/model}\n")
    (tmp_path / "spec.yaml.lock").write_text("{", encoding="utf-8")
    other = tmp_path / "other.yaml"
    other.write_text(HEAD + "model: {repo: org/model}\nwrong: 1\n", encoding="utf-8")
    done = hfspec("validate", file, other, "--strict", "--format", "json")
    assert done.returncode == 1
    assert {problem["code"] for problem in json.loads(done.stdout)} == {"unreadable", "unknown-key", "not-pinned"}


@pytest.mark.parametrize("absolute", [False, True])
def test_init_writes_a_path_that_leads_there_from_the_spec(
    hfspec: Run, tmp_path: Path, checkpoint: Callable[[str], Path], absolute: bool
) -> None:
    folder = tmp_path / "cwd" / "my model"
    folder.mkdir()
    file = tmp_path / "specs" / "deep" / "mine.yaml"
    assert hfspec("init", file, "--model", folder if absolute else "./my model").returncode == 0
    assert library.load_spec(file).model.path == "../../cwd/my model"
    assert hfspec("validate", file).returncode == 0
