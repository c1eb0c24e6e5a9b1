"""Meters in the form of Prometheus: all of them stand in the HTTP process, which hears from every replica."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from hfspec.serving.front.models import Models

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
REFUSED = 400  # a status from which on a request has no answer
STAGES = ("queue", "tokenise", "model", "write")
FROM_BEATS = {
    "batches": "Forward passes of the model.",
    "rows": "Rows, or parts of them, that passes computed.",
    "tokens": "Tokens that passes computed, padding left out.",
    "filled": "Tokens that passes computed, padding counted.",
    "made": "Tokens that were generated.",
    "reused": "Tokens of prompts that the model did not read anew, since an earlier prompt began with them.",
}


class Meters:
    """The counters of requests, and the meters of the models, which are read when somebody asks."""

    def __init__(self, models: Models) -> None:
        self.registry = CollectorRegistry()
        options: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter(
            "hfspec_requests", "Requests by their status.", ["model", "endpoint", "status"], **options
        )
        self.seconds = Histogram(
            "hfspec_request_seconds",
            "Seconds from a request's first byte to its answer's last.",
            ["model", "endpoint"],
            buckets=SECONDS,
            **options,
        )
        self.stages = Histogram(
            "hfspec_stage_seconds",
            "Seconds of a request by stage: waiting, tokenising, in the model, writing.",
            ["model", "stage"],
            buckets=SECONDS,
            **options,
        )
        self.last: dict[str, float] = {}  # model -> when its last answer was given, in seconds of the epoch
        self.in_flight = Gauge("hfspec_requests_in_flight", "Requests that are being answered.", **options)
        self.registry.register(_Models(models))
        self._children: dict[tuple[Any, ...], Any] = {}

    def count(self, model: str, endpoint: str, status: int, seconds: float) -> None:
        """Count a request that has ended."""
        self._of(self.requests, model, endpoint, status).inc()
        self._of(self.seconds, model, endpoint).observe(seconds)

    def used(self, model: str, used: dict[str, Any]) -> None:
        """Count the seconds of an answer, by stage."""
        self.last[model] = time.time()
        for stage in STAGES:
            if stage in used:
                self._of(self.stages, model, stage).observe(used[stage])

    def _of(self, meter: Any, *labels: Any) -> Any:
        """The meter of these labels, which is slow to find."""
        key = (meter, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = meter.labels(*labels)
        return child

    def stage(self, model: str, stage: str) -> tuple[int, float]:
        """How many answers of a model had the stage, and the seconds of all of them."""
        values = {sample.name: sample.value for sample in _samples(self.stages, {"model": model, "stage": stage})}
        return int(values.get("hfspec_stage_seconds_count", 0)), values.get("hfspec_stage_seconds_sum", 0.0)

    def failed(self, model: str) -> int:
        """How many requests to a model got no answer."""
        counts = _samples(self.requests, {"model": model})
        return sum(
            int(sample.value)
            for sample in counts
            if sample.name.endswith("_total") and int(sample.labels["status"]) >= REFUSED
        )

    def text(self) -> bytes:
        """All of it, in Prometheus's text form."""
        return generate_latest(self.registry)


def _samples(meter: Any, labels: Mapping[str, str]) -> list[Any]:
    """The values of a meter that have these labels."""
    samples = (sample for family in meter.collect() for sample in family.samples)
    return [sample for sample in samples if labels.items() <= sample.labels.items()]


class _Models(Collector):
    """The meters in the replicas' latest reports, those that have ended included."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        for name, help_text in FROM_BEATS.items():
            family = CounterMetricFamily(f"hfspec_{name}", help_text, labels=["model"])
            for model in self._models:
                family.add_metric([model.name], total(model, name))
            yield family
        yield self._gauge("hfspec_queue_rows", "Rows that have no answer yet.", lambda model: model.admission.rows)
        yield self._gauge("hfspec_queue_tokens", "Their tokens, estimated.", lambda model: model.admission.tokens)
        yield self._gauge("hfspec_replicas_ready", "Replicas that answer.", _ready)
        yield self._gauge("hfspec_memory_bytes", "Memory of all replicas.", partial(_sum_of, "memory"))
        yield self._gauge("hfspec_prefix_bytes", "Kept of the beginnings of prompts.", partial(_sum_of, "kept"))
        restarts = CounterMetricFamily("hfspec_restarts", "Replicas started again.", labels=["model"])
        for model in self._models:
            restarts.add_metric([model.name], model.totals.restarts)
        yield restarts

    def _gauge(self, name: str, help_text: str, value: Any) -> Metric:
        family = GaugeMetricFamily(name, help_text, labels=["model"])
        for model in self._models:
            family.add_metric([model.name], value(model))
        return family


def total(model: Any, name: str) -> int:
    """The sum of a counter over all replicas of a model, those that have ended included."""
    replicas = [] if model.generation is None else model.generation.replicas
    return int(model.totals.ended.get(name, 0)) + sum(int(replica.beat.get(name, 0)) for replica in replicas)


def _ready(model: Any) -> int:
    replicas = [] if model.generation is None else model.generation.replicas
    return sum(bool(replica.is_ready) for replica in replicas)


def _sum_of(name: str, model: Any) -> int:
    replicas = [] if model.generation is None else model.generation.replicas
    return sum(int(replica.beat.get(name, 0)) for replica in replicas)
