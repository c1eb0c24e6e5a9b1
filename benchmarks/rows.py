"""The rows of the table: who does which work, and what must be reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.measuring import Contender, Measured

OURS, INCUMBENT, LIBRARY, HAND = (
    "benchmarks.contenders.ours:predict",
    "benchmarks.contenders.incumbent:predict",
    "benchmarks.contenders.library:predict",
    "benchmarks.contenders.by_hand",
)
Found = Mapping[str, Measured]


@dataclass(frozen=True, slots=True)
class Target:
    """``value``: of what was measured, its figure. ``reach``: at least, or at most when ``most``."""

    words: str
    reach: float
    value: Callable[[Found], float]
    most: bool = False
    unit: str = "x"

    def met(self, figure: float) -> bool:
        return figure <= self.reach if self.most else figure >= self.reach


@dataclass(frozen=True, slots=True)
class Row:
    """``count``: rows of input, full and quick. ``same``: contender -> how far its numbers may lie from the first
    contender's; those not named are not compared. ``prepares``: (python, MODULE:FUNCTION, settings) to be called first.
    """

    name: str
    title: str
    count: int
    contenders: tuple[Contender, ...]
    targets: tuple[Target, ...]
    rounds: int = 5
    unit: str = "texts"
    same: Mapping[str, float] | None = None
    prepares: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    quick: bool = True
    note: str = ""


def times(slow: str, fast: str) -> Callable[[Found], float]:
    """How many times as long ``slow`` takes: the median over the rounds, each round's two being neighbours in time."""

    def value(found: Found) -> float:
        pairs = zip(found[slow].seconds, found[fast].seconds, strict=True)
        return median(long / short for long, short in pairs)

    return value


def faster(than: str, reach: float, who: str = "hfspec") -> Target:
    return Target(f"{who} against {than}", reach, times(than, who))


def at_most(than: str, reach: float, who: str = "hfspec") -> Target:
    return Target(f"time of {who} against {than}", reach, times(who, than), most=True)


def rows(*, quick: bool) -> list[Row]:
    """All rows of the full run, or those of the quick one with less work each."""
    from benchmarks import commands

    found = [*_answering(quick=quick), *commands.rows(quick=quick)]
    return [row for row in found if row.quick or not quick]


def _answering(*, quick: bool) -> list[Row]:
    def count(full: int, short: int) -> int:
        return short if quick else full

    rounds = 2 if quick else 5
    return [
        _classification(count(256, 64), rounds),
        _embeddings(count(2000, 300), rounds),
        _generation(count(16, 8), min(rounds, 3)),
        _task("summarization", count(16, 4), rounds, "baseline"),
        _task("translation", count(16, 4), rounds, "baseline"),
        _task("question-answering", count(64, 16), rounds, "baseline", batch_size=8),
        _task("token-classification", count(128, 32), rounds, "main", batch_size=8),
        _task("zero-shot", count(32, 8), rounds, "main", batch_size=8),
        _task("fill-mask", count(64, 16), rounds, "main", batch_size=8),
        _task("audio", count(8, 4), rounds, "main", batch_size=None, unit="sounds"),
    ]


def _contender(name: str, target: str, work: str, count: int, python: str = "main", **settings: Any) -> Contender:
    return Contender(name, target, {"work": work, "count": count, **settings}, python)


def _prepared(work: str, python: str, *sizes: int | None) -> tuple[tuple[str, str, dict[str, Any]], ...]:
    ours = ("main", "benchmarks.contenders.ours:prepare", {"work": work})
    saving = "benchmarks.contenders.incumbent:prepare"
    return (ours, *((python, saving, {"work": work, "batch_size": size}) for size in dict.fromkeys(sizes)))


def _classification(count: int, rounds: int) -> Row:
    work = "classification"
    return Row(
        work,
        f"text-classification, {count} texts (DistilBERT, 66M)",
        count,
        (
            _contender("hfspec", OURS, work, count),
            _contender("MLflow", INCUMBENT, work, count),
            _contender("MLflow batch_size 8", INCUMBENT, work, count, batch_size=8),
            _contender("pipeline batch_size 32", LIBRARY, work, count, batch_size=32),
            Contender("by hand", f"{HAND}:classify", {"count": count}),
            _contender("hfspec bfloat16", OURS, work, count, dtype="bfloat16"),
            Contender("by hand bfloat16", f"{HAND}:classify", {"count": count, "dtype": "bfloat16"}),
        ),
        (
            faster("MLflow", 2.5),
            faster("MLflow batch_size 8", 2.5),
            faster("by hand", 0.95),
            faster("MLflow", 6, "hfspec bfloat16"),
        ),
        rounds=min(rounds, 3),
        same={"MLflow": 1e-4, "MLflow batch_size 8": 1e-4, "pipeline batch_size 32": 1e-4, "by hand": 1e-4,
              "hfspec bfloat16": 0.05, "by hand bfloat16": 0.05},
        prepares=_prepared(work, "main", None, 8),
    )  # fmt: skip


def _embeddings(count: int, rounds: int) -> Row:
    work = "embeddings"
    return Row(
        work,
        f"embeddings, {count:,} texts (all-MiniLM-L6-v2, real weights)",
        count,
        (
            _contender("hfspec", OURS, work, count),
            _contender("encode", LIBRARY, work, count),
            _contender("encode batch_size 128", LIBRARY, work, count, batch_size=128),
            _contender("MLflow", INCUMBENT, work, count),
            _contender("MLflow batch_size 128", INCUMBENT, work, count, batch_size=128),
        ),
        (faster("encode", 1.3), faster("MLflow", 1.3), faster("MLflow batch_size 128", 1.3)),
        rounds=min(rounds, 3),
        same=dict.fromkeys(("encode", "encode batch_size 128", "MLflow", "MLflow batch_size 128"), 1e-5),
        prepares=_prepared(work, "main", None, 128),
    )


def _generation(count: int, rounds: int) -> Row:
    work = "generation"
    return Row(
        work,
        f"greedy generation, {count} prompts, 32 new tokens (GPT-2 small, 124M)",
        count,
        (
            _contender("hfspec", OURS, work, count),
            _contender("MLflow", INCUMBENT, work, count),
            _contender(f"MLflow batch_size {count}", INCUMBENT, work, count, batch_size=count),
            Contender("by hand", f"{HAND}:generate", {"count": count}),
        ),
        (faster("MLflow", 5), faster("by hand", 0.95)),
        rounds=rounds,
        unit="prompts",
        same={"MLflow": 0, f"MLflow batch_size {count}": 0, "by hand": 0},
        prepares=_prepared(work, "main", None, count),
        note="MLflow's batch needs a padding token and left padding set on the pipeline before it is saved.",
    )


def _task(work: str, count: int, rounds: int, python: str, batch_size: int | None = 8, unit: str = "texts") -> Row:
    """Ours on transformers 5 against MLflow, on transformers 4.57 (``python`` baseline) for what 5 has removed."""
    name = "MLflow" if python == "main" else "MLflow on 4.57"
    batched = f"{name} batch_size {batch_size}"
    best = [_contender(batched, INCUMBENT, work, count, python, batch_size=batch_size)] if batch_size else []
    return Row(
        work,
        f"{work}, {count} {unit}",
        count,
        (_contender("hfspec", OURS, work, count), _contender(name, INCUMBENT, work, count, python), *best),
        (faster(name, 2.5), *(faster(made.name, 2.5) for made in best)),
        rounds=min(rounds, 3),
        unit=unit,
        same={name: 1e-3, **dict.fromkeys((made.name for made in best), 1e-3)},
        prepares=_prepared(work, python, None, *([batch_size] if batch_size else [])),
    )
