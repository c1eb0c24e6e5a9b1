"""The artifacts that are made hostile."""

from tests.compile.conftest import artifact, compiled, copied

__all__ = ["artifact", "compiled", "copied"]
