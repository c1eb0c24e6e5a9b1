"""The time of products of a linear layer by MKL, by oneDNN, and by oneDNN with weights in its own order.

    python -m benchmarks.products

Prints a table of benchmarks/NOTES.md: microseconds, the least of five interleaved rounds. Each call takes other
weights, 96 MB of them in turn, so that they come from memory as in a model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle
from typing import Any

import torch

SHAPES = ((768, 3072), (512, 32128))
ROWS = (1, 8, 64, 1024)
BYTES = 96_000_000


def main() -> None:
    torch.set_grad_enabled(False)
    print("| inputs x outputs | rows | MKL | oneDNN | in its own order |")
    print("|---|---|---|---|---|")
    for inputs, outputs in SHAPES:
        count = max(1, BYTES // (inputs * outputs * 4))
        stored = [torch.randn(outputs, inputs) for _ in range(count)]
        ordered = [torch.ops.mkldnn._reorder_linear_weight(weight) for weight in stored]  # noqa: SLF001
        for rows in ROWS:
            values = torch.randn(rows, inputs)
            ways = [
                _way(torch.nn.functional.linear, values, stored),
                _way(_by_onednn, values, stored),
                _way(_by_onednn, values, ordered),
            ]
            calls = 4 if rows * outputs > 1_000_000 else 40
            rounds = [[_seconds(way, calls) for way in ways] for _ in range(5)]
            least = [min(column) * 1e6 for column in zip(*rounds, strict=True)]
            print(f"| {inputs} x {outputs} | {rows} | " + " | ".join(f"{micro:,.0f}" for micro in least) + " |")


def _by_onednn(values: Any, weight: Any) -> Any:
    return torch.ops.mkldnn._linear_pointwise(values, weight, None, "none", [], "")  # noqa: SLF001


def _way(product: Callable[[Any, Any], Any], values: Any, weights: list[Any]) -> Callable[[], Any]:
    each = cycle(weights)
    return lambda: product(values, next(each))


def _seconds(way: Callable[[], Any], calls: int) -> float:
    way()
    started = time.perf_counter()
    for _ in range(calls):
        way()
    return (time.perf_counter() - started) / calls


if __name__ == "__main__":
    main()
