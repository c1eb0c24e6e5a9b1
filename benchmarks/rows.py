"""The rows of the table: who does which work, and what must be reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
PLAIN = "hfspec backend torch"
SHORT_ROUNDS = 5  # of rows whose rounds take a second or two
Found = Mapping[str, Measured]
Sizes = tuple[int | None, ...]


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
    return tuple(faster(made.name, reach) for made in others)


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
    exact = [*(made.name for made in (*incumbents, *library)), "by hand", PLAIN]
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
        same={**dict.fromkeys(exact, 1e-4), "hfspec bfloat16": 0.05, **{made.name: 0.05 for made in half}},
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
        same={**{made.name: 1e-5 for made in others}, PLAIN: 1e-5},
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
        same={**{made.name: 0 for made in others}, PLAIN: 0},
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
        same={made.name: 1e-3 for made in incumbents},
        prepares=_prepared(work, python, sizes),
        quick=False,
    )
