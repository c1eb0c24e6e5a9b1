"""The runtime's artifacts, for the tests of what serves them, and one server over several of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
