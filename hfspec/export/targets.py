"""The targets of `hfspec export`, a row each: what is written, and what cannot be said there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of export. ``module`` has ``Options``, ``files`` of the facts and the options, and ``notes``."""

    name: str
    writes: str
    cannot: str
    module: str

    def part(self, name: str) -> Any:
        """What the target's module calls ``name``, imported."""
        return getattr(import_module(self.module), name)


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        row.name: row
        for row in (
            Target(
                "docker",
                writes="`Dockerfile`, `compose.yaml`, `.dockerignore`, the packages with hashes, hfspec as a wheel, "
                "the artifact",
                cannot="weights that lie elsewhere",
                module="hfspec.export.docker",
            ),
            Target(
                "kserve",
                writes="`servingruntime.yaml`, `inferenceservice.yaml`",
                cannot="weights that lie elsewhere; a GPU for models that run on a CPU here",
                module="hfspec.export.kserve",
            ),
        )
    }
)
