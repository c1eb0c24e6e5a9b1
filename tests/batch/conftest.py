"""What the tests of batches share."""

from __future__ import annotations

from tests.compiling import compiled, spec_for

__all__ = ["compiled", "spec_for"]
