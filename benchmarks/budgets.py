"""How many tokens a batch should hold on a CPU: works of the benchmark under several budgets, in turn.

    python -m benchmarks.budgets [DTYPE]

Prints a table of benchmarks/NOTES.md: seconds, medians of five interleaved rounds after one that warms up.
"""

from __future__ import annotations

import sys
import time
from statistics import median

BUDGETS = (256, 512, 1024, 2048, 4096)
WORKS = {
    "classification": 256,
    "zero-shot": 16,
    "token-classification": 64,
    "question-answering": 32,
    "embeddings": 1000,
}


def main(dtype: str) -> None:
    print(f"| {dtype}, tokens a batch | " + " | ".join(map(str, BUDGETS)) + " |")
    print("|---" * (len(BUDGETS) + 1) + "|")
    for work, count in WORKS.items():
        print(
            f"| {work}, {count:,} rows | " + " | ".join(f"{each:.2f}" for each in _seconds(work, count, dtype)) + " |"
        )


def _seconds(work: str, count: int, dtype: str) -> list[float]:
    import hfspec
    from benchmarks.contenders.ours import artifact, prepare
    from benchmarks.work import WORK

    prepare(work)
    predictors = [hfspec.load(artifact(work), dtype=dtype, model_config={"batch_tokens": most}) for most in BUDGETS]
    rows = WORK[work].rows(count)
    rounds = []
    for _ in range(6):
        rounds.append([])
        for predictor in predictors:
            started = time.perf_counter()
            predictor.predict(rows)
            rounds[-1].append(time.perf_counter() - started)
    return [median(column) for column in zip(*rounds[1:], strict=True)]


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["float32"]))
