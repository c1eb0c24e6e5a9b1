"""Cases as folders: spec.yaml, overrides.txt (one a line), and for an invalid one the report that a person gets.

``HFSPEC_UPDATE_GOLDEN=1`` rewrites the reports.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from hfspec.errors import SpecError
from hfspec.language.codes import CODES
from hfspec.report.problems import render
from hfspec.stages.load import load
from hfspec.stages.validate import validate

CASES = Path(__file__).parent / "cases"
# A capital, a quoted name or a number begins a sentence, a full stop ends it; what Hydra says is quoted after a colon.
SENTENCE = re.compile(r"(?s)([A-Z]|[`'\"$]|[a-z]+-transformers ).*[.'`]")
AWKWARD = re.compile(r"is none of|says nothing|has no place|is one of a|which is none")


def cases(kind: str) -> list[str]:
    return sorted(folder.name for folder in (CASES / kind).iterdir() if (folder / "spec.yaml").is_file())


def overrides(folder: Path) -> list[str]:
    file = folder / "overrides.txt"
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []


@pytest.mark.parametrize("name", cases("valid"))
def test_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES / "valid" / name)
    tree = load(Path("spec.yaml"), overrides(Path()))
    spec = validate(tree)
    assert spec.task == tree.value["task"]
    assert spec.library == tree.value["library"]


@pytest.mark.parametrize("name", cases("invalid"))
def test_invalid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES / "invalid" / name)
    with pytest.raises(SpecError) as caught:
        validate(load(Path("spec.yaml"), overrides(Path())))
    assert {problem.code for problem in caught.value.problems} <= set(CODES)
    report = render(caught.value.problems) + "\n"
    golden = Path("expected.txt")
    if os.environ.get("HFSPEC_UPDATE_GOLDEN"):
        golden.write_text(report, encoding="utf-8")
    assert report == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", cases("invalid"))
def test_each_message_is_a_plain_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES / "invalid" / name)
    with pytest.raises(SpecError) as caught:
        validate(load(Path("spec.yaml"), overrides(Path())))
    for problem in caught.value.problems:
        assert SENTENCE.fullmatch(problem.message), problem.message
        assert not AWKWARD.search(problem.message), problem.message


def test_there_are_as_many_invalid_cases_as_valid_ones() -> None:
    assert len(cases("valid")) >= 15
    assert len(cases("invalid")) >= max(25, len(cases("valid")))
