"""Artifacts compiled from tiny checkpoints."""

from tests.compiling import compiled, spec_for

__all__ = ["compiled", "spec_for"]
