"""An index of packages without content, and the validators of other tools, which have an environment of their own."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hfspec.export.facts import facts_of
from hfspec.export.requirements import needed
from hfspec.ir.artifact import Artifact
from tests.compiling import artifact, compiled
from tests.export.manifests import VALIDATORS, Published, published

__all__ = ["artifact", "compiled", "index", "schemas", "validators"]


@pytest.fixture
def validators() -> Path:
    """The Python that has hadolint, check-jsonschema, kubernetes-validate and kserve."""
    if VALIDATORS not in os.environ:
        pytest.skip(f"{VALIDATORS} names no Python with the validators; .ci/run makes one")
    return Path(os.environ[VALIDATORS])


@pytest.fixture(scope="session", name="published")
def schemas() -> Published:
    """What Kubernetes and KServe publish."""
    return published() or pytest.skip(f"{VALIDATORS} names no Python with the validators; .ci/run makes one")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Pip finds every package that a container needs, at its version, and nothing in it."""
    folder = tmp_path_factory.mktemp("index")
    sentiment: Artifact = request.getfixturevalue("compiled")("bert-sentiment")
    for line in needed(facts_of(sentiment.path)):
        name, _, version = line.partition("==")
        _wheel(folder, name.replace("-", "_"), version or "1.0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(folder))
        yield folder


def _wheel(folder: Path, name: str, version: str) -> None:
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
