"""How changes are shown, and how the command ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import hfspec
from hfspec.comparison.change import Change
from hfspec.report.diff import render
from tests import interpreters

NAMES = ("a.yaml", "b.yaml")
CHANGES = (
    Change("prompt template", "", "Classify:\n{prompt}\nLabel:", "Classify:\n{prompt}\nAnswer:", "changed"),
    Change("model_config", "top_k", 1, 2, "changed"),
    Change("metadata", "owner", None, "team", "added"),
    Change("files", "old.json", "0" * 64, None, "removed"),
)
TEXT = """\
a.yaml -> b.yaml

prompt template
  ~
    @@ -1,3 +1,3 @@
     Classify:
     {prompt}
    -Label:
    +Answer:

model_config
  ~ top_k  1 -> 2

metadata
  + owner  team

files
  - old.json  000000000000"""
MARKDOWN = """\
**`a.yaml` → `b.yaml`**

| what | key | before | after |
|---|---|---|---|
| prompt template |  | see below | see below |
| model_config | `top_k` | `1` | `2` |
| metadata | `owner` |  | `team` |
| files | `old.json` | `000000000000` | *removed* |

prompt template
```diff
@@ -1,3 +1,3 @@
 Classify:
 {prompt}
-Label:
+Answer:
```"""


def test_text_for_a_person() -> None:
    assert render(CHANGES, NAMES, "text") == TEXT


def test_a_table_for_a_pull_request() -> None:
    assert render(CHANGES, NAMES, "markdown") == MARKDOWN


def test_json_for_a_program() -> None:
    body = json.loads(render(CHANGES, NAMES, "json"))
    assert (body["before"], body["after"], body["changed"]) == ("a.yaml", "b.yaml", True)
    first, *others = body["changes"]
    assert first.pop("lines") == ["@@ -1,3 +1,3 @@", " Classify:", " {prompt}", "-Label:", "+Answer:"]
    assert [Change(**item) for item in (first, *others)] == list(CHANGES)


def test_no_changes() -> None:
    assert render((), NAMES, "text") == ""
    assert render((), NAMES, "markdown").endswith("\n\nNo changes.")
    assert json.loads(render((), NAMES, "json")) == {
        "before": "a.yaml",
        "after": "b.yaml",
        "changed": False,
        "changes": [],
    }


@pytest.mark.parametrize("after", ["one\n", "one\r", "one ", "\x1b[31mone", "one\u202e"])
def test_a_difference_that_cannot_be_seen_is_shown(after: str) -> None:
    shown = render([Change("chat template", "t", "one", after, "changed")], NAMES, "text")
    assert shown.isprintable() is False, "only by its line breaks"
    assert all(line.isprintable() for line in shown.split("\n"))
    assert sum(line.startswith(("    -", "    +")) for line in shown.split("\n")) in (1, 2)


def test_nothing_in_a_value_is_markup() -> None:
    change = Change("metadata", "k|`x`", "a|b", "``` <img src=x> | @team\n", "changed")
    lines = render([change], NAMES, "markdown").split("\n")
    row = next(line for line in lines if line.startswith("| metadata"))
    assert row.replace("\\|", "").count("|") == 5
    assert "````diff" in lines
    table = render([Change("metadata", "k", "a|b", "`<b>`", "changed")], NAMES, "markdown").split("\n")[-1]
    assert table == "| metadata | `k` | `a\\|b` | `` `<b>` `` |"


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hfspec", "diff", *map(str, arguments)]
    return interpreters.run(command, capture_output=True, text=True, check=False)


def _spec(folder: Path, name: str, **keys: object) -> Path:
    document = {
        "spec_version": 1,
        "library": "transformers",
        "task": "text-generation",
        "model": {"repo": "gpt2"},
        **keys,
    }
    file = folder / name
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def test_the_exit_code_says_whether_anything_changed(tmp_path: Path) -> None:
    a, b, bad = _spec(tmp_path, "a.yaml"), _spec(tmp_path, "b.yaml", dtype="float16"), _spec(tmp_path, "c.yaml", typo=1)
    same = _run(a, a)
    assert (same.returncode, same.stdout, same.stderr) == (0, "", "")
    changed = _run(a, b, "--format", "json")
    assert (changed.returncode, changed.stderr) == (1, "")
    found = [Change(**change) for change in json.loads(changed.stdout)["changes"]]
    assert found == list(hfspec.diff(a, b)) == [Change("dtype", "", "auto", "float16", "changed")]
    wrong = _run(a, bad)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "c.yaml:1" in wrong.stderr
    assert "typo" in wrong.stderr
    mixed = _run(a, tmp_path)
    assert (mixed.returncode, mixed.stdout) == (2, "")
    assert "compare two of a kind" in mixed.stderr
