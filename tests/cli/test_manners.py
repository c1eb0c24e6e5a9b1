"""Overrides wherever a spec is given, and tracebacks for those who ask, and only for them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import hfspec as api
from hfspec.errors import UsageError
from tests.cli.conftest import Run

SPEC = "spec_version: 1\nlibrary: transformers\ntask: text-classification\nmodel: {repo: org/model}\n"
TRACEBACK = "Traceback (most recent call last)"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "specs" / "s.yaml"
    file.parent.mkdir()
    file.write_text(SPEC, encoding="utf-8")
    (tmp_path / "specs" / "_size").mkdir()
    (tmp_path / "specs" / "_size" / "small.yaml").write_text("# @package model\nrepo: org/small\n", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("overrides", "code", "words"),
    [
        (["dtype=float16"], 0, ["1 spec is good"]),
        (["+_size=small", "~task", "task=ner"], 0, ["1 spec is good"]),
        (["dtype=fp16", "top_k=2"], 1, ["did you mean: float16", "Write `model_config.top_k=2`"]),
        (["hydra.verbose=true"], 1, ["Hydra's own applications", "--debug"]),
        (["absent.yaml"], 2, ["absent.yaml does not exist"]),
    ],
)
def test_validate_takes_overrides(hfspec: Run, spec: Path, overrides: list[str], code: int, words: list[str]) -> None:
    for place in (spec, spec.parent):
        done = hfspec("validate", place, *overrides)
        assert done.returncode == code
        for word in words:
            assert word in done.stdout + done.stderr
        assert TRACEBACK not in done.stderr


def test_a_problem_of_an_override_is_told_once_for_all_specs(hfspec: Run, spec: Path) -> None:
    (spec.parent / "t.yaml").write_text(SPEC, encoding="utf-8")
    found = json.loads(hfspec("validate", spec.parent, "dtype=fp16", "--format", "json").stdout)
    assert [(problem["override"], problem["nearest"]) for problem in found] == [("dtype=fp16", "float16")]
    done = hfspec("validate", "dtype=fp16")
    assert (done.returncode, "no spec is named" in done.stderr) == (2, True)


def test_a_file_of_the_name_of_an_override_is_the_file(
    hfspec: Run, spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cwd" / "a=b.yaml").write_text(SPEC + "name: s\n", encoding="utf-8")
    assert hfspec("validate", "a=b.yaml").stdout == "1 spec is good\n"


def test_diff_lays_overrides_over_both_specs(spec: Path) -> None:
    other = spec.with_name("t.yaml")
    other.write_text(SPEC + "dtype: bfloat16\nmodel_config: {top_k: 1}\n", encoding="utf-8")
    found = [(change.group, change.key) for change in api.diff(spec, other)]
    assert found == [("model_config", "top_k"), ("dtype", "")]
    assert [change.group for change in api.diff(spec, other, ["dtype=float16"])] == ["model_config"]
    assert api.diff(spec, other, ["dtype=float16", "model_config.top_k=3"]) == ()


def test_diff_shows_what_overrides_change(hfspec: Run, spec: Path) -> None:
    done = hfspec("diff", spec, "dtype=float16")
    assert (done.returncode, done.stderr) == (1, "")
    assert "auto" in done.stdout
    assert "float16" in done.stdout
    assert hfspec("diff", spec, "dtype=auto").returncode == 0
    wrong = hfspec("diff", spec, "dtype=fp16")
    assert (wrong.returncode, "float16" in wrong.stderr) == (2, True)
    assert hfspec("diff", spec).returncode == 2


def test_an_artifact_takes_no_overrides(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes no overrides"):
        api.diff(tmp_path, tmp_path, ["dtype=float16"])


COMMANDS = [
    ("plan", "{spec}", "top_k=2"),
    ("compile", "{spec}", "top_k=2"),
    ("compile", "{spec}", "-m", "top_k=2,3"),
    ("lock", "{spec}", "top_k=2"),
    ("diff", "{spec}", "top_k=2"),
    ("inspect", "absent"),
    ("verify", "absent"),
    ("persist", "absent"),
    ("predict", "absent", "text"),
    ("sign", "absent", "--key", "absent.pem"),
    ("init", "{spec}"),
    ("schema", "-o", "absent.json", "--check"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_debug_shows_the_traceback_and_nothing_else_does(hfspec: Run, spec: Path, command: tuple[str, ...]) -> None:
    arguments = [part.format(spec=spec) for part in command]
    plain, before, after = hfspec(*arguments), hfspec("--debug", *arguments), hfspec(*arguments, "--debug")
    assert plain.returncode not in (0, None)
    assert TRACEBACK not in plain.stderr
    last = plain.stderr.splitlines()[-1]
    for traced in [before] if command[0] == "predict" else [before, after]:
        assert traced.returncode == plain.returncode
        assert TRACEBACK in traced.stderr
        assert traced.stderr.splitlines()[-1] == last
        assert traced.stdout == plain.stdout


@pytest.mark.parametrize("options", [[], ["--debug"]])
def test_a_fault_of_ours_is_a_line_without_debug(spec: Path, options: list[str]) -> None:
    code = (
        "import sys, hfspec.compiler as c; from hfspec.cli.app import main\n"
        "def fails(*given): raise RuntimeError('it\\nbroke')\n"
        "c.validate = fails; main()"
    )
    given = [sys.executable, "-c", code, "validate", str(spec), *options]
    done = subprocess.run(given, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "unexpected RuntimeError: it broke" in done.stderr.splitlines()[-1]
    assert (TRACEBACK in done.stderr) == bool(options)
    assert ("--debug" in done.stderr.splitlines()[-1]) == (not options)
