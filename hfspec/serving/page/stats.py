"""The meters as the page's script draws them: counters and histograms of each model."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hfspec.serving.front.metrics import SECONDS, total

if TYPE_CHECKING:
    from hfspec.serving.front.app import App

BOUNDS = (*SECONDS, None)  # None: above all of them
FAILED = 500  # and above: the server's own faults


def stats(app: App) -> dict[str, Any]:
    """Every model's counters since the start; ``latency`` counts requests by the bounds, each with those below it."""
    requests, failed = _requests(app)
    latency = _latency(app)
    models = {}
    for model in app.models:
        models[model.name] = {
            "state": model.state.value,
            "reason": model.reason,
            "requests": requests.get(model.name, 0),
            "failed": failed.get(model.name, 0),
            "latency": [latency.get((model.name, _word(bound)), 0) for bound in BOUNDS],
            "rows": total(model, "rows"),
            "tokens": total(model, "tokens") + total(model, "made"),
            "queue": model.admission.rows,
        }
    return {"at": time.monotonic(), "bounds": list(SECONDS), "models": models}


def _requests(app: App) -> tuple[dict[str, int], dict[str, int]]:
    requests: dict[str, int] = {}
    failed: dict[str, int] = {}
    for sample in _samples(app.meters.requests, "_total"):
        name, count = sample.labels["model"], int(sample.value)
        requests[name] = requests.get(name, 0) + count
        if int(sample.labels["status"]) >= FAILED:
            failed[name] = failed.get(name, 0) + count
    return requests, failed


def _latency(app: App) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for sample in _samples(app.meters.seconds, "_bucket"):
        if not sample.labels["endpoint"].endswith("/ready"):
            key = (sample.labels["model"], sample.labels["le"])
            counts[key] = counts.get(key, 0) + int(sample.value)
    return counts


def _samples(meter: Any, suffix: str) -> list[Any]:
    return [sample for family in meter.collect() for sample in family.samples if sample.name.endswith(suffix)]


def _word(bound: float | None) -> str:
    return "+Inf" if bound is None else str(bound)
