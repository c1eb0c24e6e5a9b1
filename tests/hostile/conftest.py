"""The artifacts that are made hostile."""

from tests.compile.conftest import artifact, compiled, copied, own_copy

__all__ = ["artifact", "compiled", "copied", "own_copy"]
