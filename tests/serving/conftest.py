"""The runtime's artifacts, for the tests of what serves them."""

from tests.runtime.conftest import _own_cache, artifact, build, copy_of

__all__ = ["_own_cache", "artifact", "build", "copy_of"]
