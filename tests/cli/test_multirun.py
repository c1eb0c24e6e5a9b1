"""Where a multirun puts its artifacts: one place for each combination, none inside another artifact."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfspec.cli.multirun import MAX_NAME_BYTES, targets
from hfspec.errors import SpecError, UsageError
from tests.cli.conftest import Run


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "s.yaml"
    file.write_text(
        "spec_version: 1\nlibrary: transformers\ntask: text-classification\nmodel: {repo: org/model}\n",
        encoding="utf-8",
    )
    return file


@pytest.mark.parametrize(
    ("overrides", "places"),
    [
        ([], ["build/s"]),
        (["dtype=float16"], ["build/s--dtype-float16"]),
        (["dtype=float16,bfloat16", "metadata.a=1"], ["build/s--dtype-float16", "build/s--dtype-bfloat16"]),
        (["name=a,b"], ["build/a--name-a", "build/b--name-b"]),
        (["model_config.top_k=range(1,4)"], [f"build/s--model_config.top_k-{k}" for k in (1, 2, 3)]),
        (["metadata.l=[1,2],[3]"], ["build/s--metadata.l-1_2", "build/s--metadata.l-3"]),
        (["metadata.t='a b','c;$d'"], ["build/s--metadata.t-a_b", "build/s--metadata.t-c_d"]),
        (
            ["dtype=float16,auto", "++metadata.n=-1,'é1'"],
            [f"build/s--dtype-{d}--metadata.n-{n}" for d in ("float16", "auto") for n in ("-1", "1")],
        ),
        (["dtype=float16,float16"], ["build/s--dtype-float16"]),
    ],
)
def test_places_beside_the_plain_artifact(spec: Path, overrides: list[str], places: list[str]) -> None:
    assert [str(place) for place, _ in targets(spec, overrides, None)] == places


@pytest.mark.parametrize(
    "values",
    ['"a b","a_b"', "a,A", f"{'x' * 300}1,{'x' * 300}2", f"'{'漢' * 100}','{'字' * 100}'", '"/x/../y",".."', "'',' '"],
)
def test_every_combination_has_a_place_of_its_own_that_a_disk_can_hold(spec: Path, values: str) -> None:
    found = targets(spec, [f"metadata.a={values}"], Path("sweep"))
    names = [place.relative_to("sweep").as_posix() for place, _ in found]
    assert len({name.casefold() for name in names}) == 2
    assert all(len(name.encode()) <= MAX_NAME_BYTES and "/" not in name and name not in (".", "..") for name in names)
    assert targets(spec, [f"metadata.a={values}"], Path("sweep")) == found


def test_the_problems_of_all_combinations_come_at_once(spec: Path) -> None:
    with pytest.raises(SpecError) as caught:
        targets(spec, ["dtype=float16,nonsense,rubbish", "model_config.top_k=1,x"], None)
    overrides = [problem.origin.override for problem in caught.value.problems]
    assert sorted(overrides) == ["dtype=nonsense", "dtype=rubbish", "model_config.top_k=x"]


def test_nothing_is_put_into_an_artifact(spec: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "artifact.json").write_text("{}")
    with pytest.raises(UsageError, match="out is an artifact"):
        targets(spec, ["dtype=float16,bfloat16"], tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--resolve"], "--cfg job"),
        (["-m", "dtype=float16,bfloat16", "--cfg", "job"], "leave out -m"),
        (["--cfg", "hydra"], "expected job"),
        (["--info", "all"], "expected defaults"),
    ],
)
def test_options_that_make_no_sense_together_are_refused(
    hfspec: Run, spec: Path, options: list[str], words: str, tmp_path: Path
) -> None:
    done = hfspec("compile", spec, *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert list((tmp_path / "cwd").iterdir()) == []
