"""Artifacts compiled from tiny checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import hfspec
from hfspec.ir.artifact import Artifact
from tests.compiling import compiled, spec_for, write_spec

__all__ = ["compiled", "exported", "spec_for"]


@pytest.fixture(scope="session")
def exported(shared_folder: Path, checkpoint: Callable[[str], Path]) -> Callable[[str], Artifact]:
    """``exported(name)``: the artifact of a tiny checkpoint as a graph, made once. Never write into it."""
    done: dict[str, Artifact] = {}

    def get(name: str) -> Artifact:
        if name not in done:
            place = shared_folder / "graphs" / f"{name}-{id(done)}"
            spec = write_spec(place, checkpoint(name), format="onnx")
            done[name] = hfspec.compile(spec, output=place / "artifact")
        return done[name]

    return get
