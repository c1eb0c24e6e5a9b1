"""Artifacts that tests may break, and a process that runs scripts in forks of itself."""

from tests.compiling import artifact, compiled, copied, forks, spec_for

__all__ = ["artifact", "compiled", "copied", "forks", "spec_for"]
