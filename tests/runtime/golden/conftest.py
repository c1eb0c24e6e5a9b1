"""Artifacts compiled from tiny checkpoints."""

from tests.compiling import compiled, copied, spec_for

__all__ = ["compiled", "copied", "spec_for"]
