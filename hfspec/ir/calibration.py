"""The examples of a file by which quantised weights are chosen or measured."""

from __future__ import annotations

from dataclasses import dataclass

from hfspec.ir.frozen import FrozenDict, Json


@dataclass(frozen=True, slots=True)
class CalibrationExample:
    """What predict is given, and where in the file it stands."""

    place: str
    input: Json
    params: FrozenDict


@dataclass(frozen=True, slots=True)
class Calibration:
    """A file of examples. ``name``: as manifests and locks state it; ``sha256``: of its bytes."""

    name: str
    sha256: str
    examples: tuple[CalibrationExample, ...]
