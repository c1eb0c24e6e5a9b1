"""hfspec: an artifact, loaded and asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.work import ROOT, WORK

SPECS, ARTIFACTS = ROOT / "specs", ROOT / "artifacts"


def prepare(work: str) -> None:
    """The artifact of a work, compiled when it is not there."""
    import hfspec

    target = artifact(work)
    if target.exists():
        return
    hfspec.compile(write_spec(work), target)


def artifact(work: str) -> Path:
    """Where the artifact of a work lies."""
    return ARTIFACTS / work


def write_spec(work: str) -> Path:
    """The spec of a work; returns its path. JSON is YAML."""
    wanted = WORK[work]
    path = SPECS / f"{work}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "spec_version": 1,
        "library": wanted.library,
        "task": wanted.task,
        "model": {"path": str(wanted.model.absolute())},
        "model_config": dict(wanted.settings),
    }
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")
    return path


def predict(work: str, count: int, dtype: str | None = None, backend: str | None = None) -> Callable[[], Any]:
    """All rows in one call."""
    import hfspec

    rows = WORK[work].rows(count)
    predictor = hfspec.load(artifact(work), dtype=dtype, backend=backend)
    return lambda: predictor.predict(rows)
