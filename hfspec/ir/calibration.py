"""The examples of a file by which quantised weights are chosen or measured."""

from __future__ import annotations

from dataclasses import dataclass

from hfspec.ir.frozen import FrozenDict, Json


@dataclass(frozen=True, slots=True)
class CalibrationExample:
    """An input for predict, its params, and its place in the file."""

    place: str
    input: Json
    params: FrozenDict


@dataclass(frozen=True, slots=True)
class Calibration:
    """A file of examples. ``name``: as manifests and locks state it; ``sha256``: of its bytes."""

    name: str
    sha256: str
    examples: tuple[CalibrationExample, ...]
