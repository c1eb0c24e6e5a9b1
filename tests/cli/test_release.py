"""What a repository's visitors and a release go by: one version, forms and workflows that parse, hooks that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import hfspec

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / ".github").rglob("*.y*ml"), *(ROOT / "docs" / "ci").glob("*.yaml")])


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "hfspec.__version__"}
    line = re.compile(r"^__version__ = ", re.MULTILINE)
    said = [file for file in (ROOT / "hfspec").rglob("*.py") if line.search(file.read_text())]
    assert said == [ROOT / "hfspec" / "__init__.py"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_workflows_and_forms_are_yaml_and_call_what_is_there(file: Path) -> None:
    text = file.read_text()
    assert YAML(typ="safe").load(text)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)) | {"bench"}
    for matrix in re.findall(r"target: \[(.*?)\]", text):
        assert set(matrix.split(", ")) <= targets


def test_the_release_reads_the_version_that_there_is() -> None:
    """By the pattern that the workflow has."""
    steps = YAML(typ="safe").load((ROOT / ".github" / "workflows" / "release.yaml").read_text())["jobs"]["build"][
        "steps"
    ]
    [script] = [step["run"] for step in steps if "__version__" in step.get("run", "")]
    pattern = re.search(r"s/(.*?)/", script)[1].replace(r"\(", "(").replace(r"\)", ")")
    found = re.search(pattern, (ROOT / "hfspec" / "__init__.py").read_text(), re.MULTILINE)
    assert found[1] == hfspec.__version__
