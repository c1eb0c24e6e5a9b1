"""What a repository's visitors and a release go by: one version, forms and workflows that parse, hooks that exist."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
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


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
TESTED = {
    canonicalize_name(name): version
    for name, _, version in (line.partition("==") for line in (ROOT / "constraints.txt").read_text().splitlines()[1:])
}


def _required(texts: list[str], extras: frozenset[str] = frozenset()) -> Iterator[Requirement]:
    """The requirements that hold on this machine, with those of the extras."""
    for requirement in map(Requirement, texts):
        environments = [{"extra": extra} for extra in ("", *extras)]
        if requirement.marker is None or any(map(requirement.marker.evaluate, environments)):
            yield requirement


def _conflicts(requirements: Iterator[Requirement], asker: str, seen: set[tuple[str, frozenset[str]]]) -> Iterator[str]:
    """What does not fit the versions that hfspec is tested with, of requirements and of all that those require.

    A package that is not installed here, or in another version, does not say what it requires.
    """
    for requirement in requirements:
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if name not in TESTED:
            yield f"{asker} needs {requirement}, and constraints.txt has no {name}"
        elif not requirement.specifier.contains(TESTED[name], prereleases=True):
            yield f"{asker} needs {requirement}, and constraints.txt has {TESTED[name]}"
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if found.version == TESTED.get(name):
            yield from _conflicts(_required(found.requires or [], extras), f"{name} {found.version}", seen)


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_resolves_beside_the_others(extra: str) -> None:
    """One set of versions, constraints.txt, has all that it requires; so all extras together can be installed."""
    assert list(_conflicts(_required(EXTRAS[extra]), f"hfspec[{extra}]", set())) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_workflows_and_forms_are_yaml_and_call_what_is_there(file: Path) -> None:
    text = file.read_text()
    assert YAML(typ="safe").load(text)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)) | {"bench"}
    for matrix in re.findall(r"target: \[(.*?)\]", text):
        assert set(matrix.split(", ")) <= targets


def test_the_changelog_has_what_was_released_below_what_was_not() -> None:
    sections = re.findall(r"(?m)^## (\S+)", (ROOT / "CHANGELOG.md").read_text())
    assert sections[0] == "Unreleased"
    assert hfspec.__version__ in sections[1:]
    versions = [tuple(map(int, section.split("."))) for section in sections[1:]]
    assert versions == sorted(versions, reverse=True)


def test_the_release_reads_the_version_that_there_is() -> None:
    """By the pattern that the workflow has."""
    steps = YAML(typ="safe").load((ROOT / ".github" / "workflows" / "release.yaml").read_text())["jobs"]["build"][
        "steps"
    ]
    [script] = [step["run"] for step in steps if "__version__" in step.get("run", "")]
    pattern = re.search(r"s/(.*?)/", script)[1].replace(r"\(", "(").replace(r"\)", ")")
    found = re.search(pattern, (ROOT / "hfspec" / "__init__.py").read_text(), re.MULTILINE)
    assert found[1] == hfspec.__version__
