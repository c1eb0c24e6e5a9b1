"""The runtime's artifacts, for the tests of what serves them, and one server over several of them."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hfspec
from tests.runtime.conftest import _own_cache, artifact, build, copy_of
from tests.serving.servers import MODELS, Served, entries, fleet_of, serving

__all__ = ["_own_cache", "artifact", "build", "copy_of"]


@pytest.fixture(scope="session")
def served(
    tmp_path_factory: pytest.TempPathFactory,
    build: Callable[..., Path],
    checkpoint: Callable[[str], Path],
) -> Iterator[Served]:
    """One running server with every model of servers.MODELS. Leave it as it is: a test that needs keys, other limits,
    reloads or crashes starts its own with ``servers.serving``.
    """
    artifacts = fleet_of(build, checkpoint, *MODELS)
    with serving(tmp_path_factory.mktemp("served"), {"models": entries(artifacts)}, artifacts) as found:
        yield found


@pytest.fixture
def fleet(artifact, build, checkpoint, tmp_path):
    """``fleet(entry, server)``: a fleet file with the classifier under these keys."""

    def write(entry=(), server=(), **models):
        named = {"sentiment": {"artifact": str(artifact("bert-sentiment")), **dict(entry)}, **models}
        path = tmp_path / "fleet.yaml"
        path.write_text(json.dumps({"models": named, "server": dict(server)}), encoding="utf-8")
        return path

    return write


@pytest.fixture
def expected(artifact):
    predictor = hfspec.load(artifact("bert-sentiment"))
    return lambda texts: [record["label"] for record in predictor.predict_json(texts)]


@pytest.fixture
def run_serve():
    def run(*arguments):
        command = [sys.executable, "-m", "hfspec", "serve", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    return run
