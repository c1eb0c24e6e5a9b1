"""The time that answers of a loaded model take: a row a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.measuring import Contender
from benchmarks.rows import PLAIN, Row, Target, faster

OURS, INCUMBENT, LIBRARY, HAND = (
    "benchmarks.contenders.ours:predict",
    "benchmarks.contenders.incumbent:predict",
    "benchmarks.contenders.library:predict",
    "benchmarks.contenders.by_hand",
)
SHORT_ROUNDS = 5  # of rows whose rounds take a second or two
Sizes = tuple[int | None, ...]


def rows(*, quick: bool) -> list[Row]:
    rounds = 1 if quick else 3
    sizes = (None,) if quick else (None, 8)
    return [
        _classification(32 if quick else 256, rounds, sizes, quick=quick),
        _embeddings(2000, rounds, (None, 128)),
        _generation(16, rounds, (None, 16)),
        _task("summarization", 8, SHORT_ROUNDS, "baseline"),
        _task("translation", 8, SHORT_ROUNDS, "baseline"),
        _task("question-answering", 32, SHORT_ROUNDS, "baseline"),
        _task("token-classification", 64, SHORT_ROUNDS, "main"),
        _task("zero-shot", 16, SHORT_ROUNDS, "main"),
        _task("fill-mask", 64, SHORT_ROUNDS, "main"),
        _task("audio", 8, SHORT_ROUNDS, "main", sizes=(None,), unit="sounds"),
    ]


def _contender(name: str, target: str, work: str, count: int, python: str = "main", **settings: Any) -> Contender:
    return Contender(name, target, {"work": work, "count": count, **settings}, python)


def _ours(work: str, count: int) -> list[Contender]:
    """As it comes, and with torch's own arithmetic, which some processors get unasked (docs/backends.md)."""
    return [_contender("hfspec", OURS, work, count), _contender(PLAIN, OURS, work, count, backend="torch")]


def _each_faster(others: Sequence[Contender], reach: float) -> tuple[Target, ...]:
    return tuple(faster(contender.name, reach) for contender in others)


def _prepared(work: str, python: str, sizes: Sizes) -> tuple[tuple[str, str, dict[str, Any]], ...]:
    ours = ("main", "benchmarks.contenders.ours:prepare", {"work": work})
    saving = "benchmarks.contenders.incumbent:prepare"
    return (ours, *((python, saving, {"work": work, "batch_size": size}) for size in sizes))


def _incumbents(work: str, count: int, sizes: Sizes, python: str = "main") -> list[Contender]:
    """MLflow with its defaults, where a size is None, and with each batch size."""
    name = "MLflow" if python == "main" else "MLflow on 4.57"
    return [
        _contender(f"{name} batch_size {size}" if size else name, INCUMBENT, work, count, python, batch_size=size)
        for size in sizes
    ]


def _classification(count: int, rounds: int, sizes: Sizes, *, quick: bool) -> Row:
    """The quick one is without those that no target names."""
    work = "classification"
    incumbents = _incumbents(work, count, sizes)
    library = [] if quick else [_contender("pipeline batch_size 32", LIBRARY, work, count, batch_size=32)]
    half = [] if quick else [Contender("by hand bfloat16", f"{HAND}:classify", {"count": count, "dtype": "bfloat16"})]
    exact = [*(contender.name for contender in (*incumbents, *library)), "by hand", PLAIN]
    return Row(
        work,
        f"text-classification, {count} texts (DistilBERT, 66M)",
        count,
        (
            *_ours(work, count),
            *incumbents,
            *library,
            Contender("by hand", f"{HAND}:classify", {"count": count}),
            _contender("hfspec bfloat16", OURS, work, count, dtype="bfloat16"),
            *half,
        ),
        (
            *_each_faster(incumbents, 2.5),
            faster("by hand", 0.95),
            faster("MLflow", 6, "hfspec bfloat16"),
        ),
        rounds=rounds,
        same={**dict.fromkeys(exact, 1e-4), "hfspec bfloat16": 0.05, **{contender.name: 0.05 for contender in half}},
        prepares=_prepared(work, "main", sizes),
    )


def _embeddings(count: int, rounds: int, sizes: Sizes) -> Row:
    work = "embeddings"
    others = [_contender("encode", LIBRARY, work, count), *_incumbents(work, count, sizes)]
    return Row(
        work,
        f"embeddings, {count:,} texts (all-MiniLM-L6-v2, real weights)",
        count,
        (*_ours(work, count), *others),
        _each_faster(others, 1.3),
        rounds=rounds,
        same={**{contender.name: 1e-5 for contender in others}, PLAIN: 1e-5},
        prepares=_prepared(work, "main", sizes),
        quick=False,
    )


def _generation(count: int, rounds: int, sizes: Sizes) -> Row:
    work = "generation"
    incumbents = _incumbents(work, count, sizes)
    others = [*incumbents, Contender("by hand", f"{HAND}:generate", {"count": count})]
    return Row(
        work,
        f"greedy generation, {count} prompts, 32 new tokens (GPT-2 small, 124M)",
        count,
        (*_ours(work, count), *others),
        (faster("MLflow", 5), faster("by hand", 0.95)),
        rounds=rounds,
        unit="prompts",
        same={**{contender.name: 0 for contender in others}, PLAIN: 0},
        prepares=_prepared(work, "main", sizes),
        quick=False,
        note="MLflow's batch needs a padding token and left padding set on the pipeline before it is saved.",
    )


def _task(work: str, count: int, rounds: int, python: str, *, sizes: Sizes = (None, 8), unit: str = "texts") -> Row:
    """Ours on transformers 5 against MLflow, on transformers 4.57 (``python`` baseline) for what 5 has removed."""
    incumbents = _incumbents(work, count, sizes, python)
    return Row(
        work,
        f"{work}, {count} {unit}",
        count,
        (_contender("hfspec", OURS, work, count), *incumbents),
        _each_faster(incumbents, 2.5),
        rounds=rounds,
        unit=unit,
        same={contender.name: 1e-3 for contender in incumbents},
        prepares=_prepared(work, python, sizes),
        quick=False,
    )
