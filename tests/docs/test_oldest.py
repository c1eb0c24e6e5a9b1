"""The oldest versions promised are those that `make test-oldest` installs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TESTED = ("audio", "device-map", "peft", "sentencepiece", "vision")
PROMISED = [*PROJECT["dependencies"], *(line for extra in TESTED for line in PROJECT["optional-dependencies"][extra])]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("line", PROMISED)
def test_what_is_promised_is_installed(line):
    text = (ROOT / "constraints-oldest.txt").read_text()
    pins = {canonical(name): version for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)$", text)}
    name, oldest = re.match(r"([\w.-]+)>=([\d.]+)", line).groups()
    assert re.sub(r"(\.0)+$", "", pins[canonical(name)]) == re.sub(r"(\.0)+$", "", oldest)


def test_the_readme_says_the_same():
    text = re.sub(r"\s+", " ", (ROOT / "README.md").read_text())
    versions = {
        name: next(line for line in PROMISED if line.startswith(f"{name}>=")).partition(">=")[2]
        for name in ("torch", "transformers", "sentence-transformers")
    }
    assert (
        "torch {torch}, transformers {transformers} and sentence-transformers {0}".format(
            versions["sentence-transformers"], **versions
        )
        in text
    )
