"""The corpus of hostile checkpoints: nothing of theirs is ever run, and what is refused is refused in plain words."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import hfspec
from hfspec.cli.arguments import Format
from hfspec.cli.artifact_commands import inspect
from hfspec.comparison.diff import diff
from tests.compiling import write_spec
from tests.hostile import payloads
from tests.hostile.cases import CHATTER, EMBEDDER, IMAGE, SENTIMENT, WRITER, Case, cases
from tests.runtime.images import picture

TASKS = {SENTIMENT: "text-classification", WRITER: "text-generation", CHATTER: "text-generation"}
TASKS |= {EMBEDDER: "feature-extraction", IMAGE: "image-classification"}
CASES = {case.name: case for case in cases()}
assert len(CASES) == len(list(cases())), "two cases have one name"
REFUSED = (hfspec.SpecError, hfspec.SourceError)


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """What a payload makes; code that does can be imported as the module ``planted`` too."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "planted.py").write_text(payloads.module(tmp_path / "canary"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # the library may ask whether to trust
    yield tmp_path / "canary"
    assert not (tmp_path / "canary").exists()


@pytest.fixture(scope="session")
def good_answer(shared_folder: Path, checkpoint: Callable[[str], Path]) -> Callable[[str], str]:
    """``good_answer(name)``: what the checkpoint answers before anything is done to it."""
    found: dict[str, str] = {}

    def get(name: str) -> str:
        if name not in found:
            place = shared_folder / "good" / f"{name}-{id(found)}"
            made = hfspec.compile(write_spec(place, checkpoint(name), task=TASKS[name]), output=place / "artifact")
            found[name] = answer(hfspec.load(made.path), name)
        return found[name]

    return get


def answer(predictor: hfspec.Predictor, base: str) -> str:
    if base == IMAGE:
        return repr(predictor.predict([picture(1)]))
    if base == CHATTER:
        return repr(predictor.predict([{"role": "user", "content": "hello"}]))
    return repr(predictor.predict(["a fine film"]))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_hostile_checkpoint(case: Case, canary, tmp_path, checkpoint, good_answer, capsys):
    model = Path(shutil.copytree(checkpoint(case.base), tmp_path / "own" / case.base))
    case.change(model, canary)
    spec = write_spec(tmp_path / "specs", model, task=TASKS[case.base])
    assert hfspec.validate(spec) == ()
    if case.plan:
        for step in (hfspec.plan, hfspec.lock, hfspec.compile):
            with pytest.raises(REFUSED, match=case.plan) as caught:
                step(spec)
            assert "Traceback" not in str(caught.value)
            assert "weights_only" not in str(caught.value), "advice to run it all the same"
        return
    hfspec.plan(spec)
    hfspec.lock(spec)
    made = hfspec.compile(spec, output=tmp_path / "artifact")
    hfspec.verify(made.path)
    inspect(made.path, Format.text)
    diff(made.path, made.path)
    assert not [path for path in (made.path / "model").rglob("*") if path.suffix in (".py", ".pkl", ".bin")]
    if case.load:
        with pytest.raises(hfspec.HfspecError, match=case.load):
            hfspec.load(made.path)
        return
    predictor = hfspec.load(made.path)
    if case.predict:
        with pytest.raises(hfspec.HfspecError, match=case.predict):
            answer(predictor, case.base)
        return
    found = answer(predictor, case.base)
    assert case.otherwise or found == good_answer(case.base)


def test_a_package_is_never_imported(canary, tmp_path, checkpoint):
    package = tmp_path / "site" / "hostile_package"
    shutil.copytree(checkpoint(SENTIMENT), package / "model")
    for name in ("__init__.py", "model/__init__.py", "model/planted.py"):
        (package / name).write_text(payloads.module(canary))
    document = (
        "spec_version: 1\nlibrary: transformers\ntask: text-classification\nmodel: {package: hostile_package/model}\n"
    )
    (tmp_path / "spec.yaml").write_text(document)
    spec = tmp_path / "spec.yaml"
    made = hfspec.compile(spec, output=tmp_path / "artifact")
    assert len(hfspec.load(made.path).predict(["a fine film"])) == 1
