"""The artifacts that are made hostile."""

from tests.compiling import artifact, compiled, copied

__all__ = ["artifact", "compiled", "copied"]
