"""Specs over tiny checkpoints, and artifacts compiled from them."""

from tests.compiling import compiled, copied, spec_for

__all__ = ["compiled", "copied", "spec_for"]
