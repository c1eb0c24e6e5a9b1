"""A matrix of specs compiled one after another and by Hydra's launchers: the same artifacts, and each failure named."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import hfspec
from hfspec.cli.app import app
from hfspec.errors import UsageError
from tests.compiling import tree_of, write_spec

JOBLIB = "hydra/launcher=joblib"
PARALLEL = pytest.mark.skipif(
    importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") is None
    if importlib.util.find_spec("hydra_plugins")
    else True,
    reason="hydra-joblib-launcher is not installed",
)


@pytest.fixture
def spec(tmp_path: Path, checkpoint: Callable[[str], Path]) -> Path:
    return write_spec(tmp_path / "specs", checkpoint("bert-sentiment"))


def compiled(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["compile", *map(str, arguments), "--no-run", "-q"])


@PARALLEL
def test_joblib_makes_the_artifacts_that_one_after_another_are_made(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    combinations = ["dtype=float32,bfloat16", "model_config.top_k=2"]
    plain = compiled(spec, "-m", *combinations, "-o", tmp_path / "plain")
    assert plain.exit_code == 0, plain.output
    monkeypatch.setattr(hfspec.compiler, "compile", lambda *_, **__: pytest.fail("compiled in this process"))
    found = compiled(spec, "-m", *combinations, JOBLIB, "hydra.launcher.n_jobs=2", "-o", tmp_path / "parallel")
    assert found.exit_code == 0, found.output
    assert [Path(line).name for line in found.stdout.splitlines()] == ["dtype-float32", "dtype-bfloat16"]
    assert tree_of(tmp_path / "parallel") == tree_of(tmp_path / "plain")
    assert sorted(path.name for path in (tmp_path / "parallel").iterdir()) == ["dtype-bfloat16", "dtype-float32"]


@pytest.mark.parametrize("launcher", [[], pytest.param([JOBLIB, "hydra.launcher.n_jobs=1"], marks=PARALLEL)])
def test_a_failed_combination_costs_no_other_its_artifact(
    spec: Path, tmp_path: Path, checkpoint: Callable[[str], Path], launcher: list[str]
) -> None:
    good = checkpoint("bert-sentiment")
    paths = f"model.path={good},{tmp_path / 'nowhere'},{good}/../bert-sentiment"
    found = compiled(spec, "-m", paths, "-o", tmp_path / "out", *launcher)
    assert found.exit_code in (1, 3), found.output
    places = found.stdout.splitlines()
    assert [json.loads((Path(place) / "artifact.json").read_text())["name"] for place in places] == ["spec", "spec"]
    said = found.stderr.splitlines()
    assert any("nowhere" in line and "does not exist" in line for line in said), said
    assert [line.split()[0] for line in said[-4:-1]] == ["compiled", "failed", "compiled"]
    assert "nowhere" in said[-3]
    assert said[-1] == "hfspec: 2 of 3 combinations compiled"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["hydra/launcher=no_such"], "launchers here: basic"),
        pytest.param([JOBLIB, "hydra.launcher.jobs=2"], "jobs", marks=PARALLEL),
        (["hydra.launcher._target_=os.system"], "nothing is imported by name"),
        (["hydra.launcher.x={_target_: os.system}"], "nothing is imported by name"),
    ],
)
def test_a_wrong_launcher_is_told_and_nothing_is_made(
    spec: Path, tmp_path: Path, overrides: list[str], said: str
) -> None:
    found = compiled(spec, "-m", "dtype=float32,bfloat16", *overrides, "-o", tmp_path / "out")
    assert isinstance(found.exception, UsageError), found.output
    assert said in str(found.exception)
    assert not list((tmp_path / "out").glob("*"))


def test_a_launcher_without_a_matrix_is_told(spec: Path, tmp_path: Path) -> None:
    found = compiled(spec, JOBLIB, "-o", tmp_path / "out")
    assert "hfspec compile -m" in str(found.exception)
    assert not (tmp_path / "out").exists()
