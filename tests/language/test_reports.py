"""Problems as a person, a program and GitHub read them."""

from __future__ import annotations

import json

import pytest

from hfspec.ir.problem import Origin, Problem
from hfspec.report.problems import render

FULL = Problem(
    "wrong-value",
    "The value is 100% wrong.",
    Origin("specs/a,b:c.yaml", 3, 7),
    ("golden", 0, "input"),
    expected="one of a, b",
    found="c\nd",
    nearest="a",
    remedy="Write a.",
)
BARE = Problem("empty-file", "The file holds no spec.", Origin("x.yaml"))
GIVEN = Problem("unknown-key", "There is no key `typo` here.", Origin(override="+typo=1"), ("typo",))


def test_text() -> None:
    assert render([FULL, BARE, GIVEN], "text").splitlines() == [
        "specs/a,b:c.yaml:3:7: golden[0].input: The value is 100% wrong.",
        "    expected: one of a, b",
        "    found: c d",
        "    did you mean: a",
        "    Write a.",
        "x.yaml: The file holds no spec.",
        "command line (+typo=1): typo: There is no key `typo` here.",
    ]


def test_json() -> None:
    full, bare, given = json.loads(render([FULL, BARE, GIVEN], "json"))
    assert full == {
        "file": "specs/a,b:c.yaml",
        "line": 3,
        "column": 7,
        "override": "",
        "path": ["golden", 0, "input"],
        "code": "wrong-value",
        "message": "The value is 100% wrong.",
        "expected": "one of a, b",
        "found": "c\nd",
        "nearest": "a",
        "remedy": "Write a.",
    }
    assert (bare["line"], bare["column"], bare["path"]) == (0, 0, [])
    assert given["override"] == "+typo=1"


def test_github() -> None:
    full, bare, given = render([FULL, BARE, GIVEN], "github").splitlines()
    assert full == (
        "::error file=specs/a%2Cb%3Ac.yaml,line=3,col=7,title=wrong-value::golden[0].input: The value is 100%25 wrong."
        "%0Aexpected: one of a, b%0Afound: c d%0Adid you mean: a%0AWrite a."
    )
    assert bare == "::error file=x.yaml,title=empty-file::The file holds no spec."
    assert given == "::error title=unknown-key::command line (+typo=1): typo: There is no key `typo` here."


@pytest.mark.parametrize(("style", "text"), [("text", ""), ("json", "[]"), ("github", "")])
def test_no_problems(style: str, text: str) -> None:
    assert render([], style) == text


def test_an_unknown_format() -> None:
    with pytest.raises(KeyError):
        render([BARE], "xml")
