"""Rows whose contenders are whole processes: compiling, starting, validating; and those that watch memory."""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks.contenders.commands import TEXT
from benchmarks.contenders.ours import artifact
from benchmarks.material import SIZES
from benchmarks.measuring import Contender, Measured
from benchmarks.rows import PLAIN, Found, Row, Target, at_most, times

DOING = "benchmarks.contenders.commands"
UNTRIED = "--no-run"
SMALL, MIDDLE, LARGE = "llama-40mb", "llama-500mb", "llama-4gb"


def rows(*, quick: bool) -> list[Row]:
    """All of them; the quick run compiles no 4 GB, casts nothing and starts no embeddings."""
    rounds = 1 if quick else 3
    return [
        _compiling(MIDDLE if quick else LARGE, rounds, casts=not quick),
        _cold_start("classification", rounds),
        *([] if quick else [_cold_start("embeddings", rounds)]),
        _validating(rounds),
        _overhead(1 if quick else 6),
        _stream(20_000 if quick else 1_000_000),
    ]


def _whole(name: str, function: str, **settings: Any) -> Contender:
    return Contender(name, f"{DOING}:{function}", settings, whole=True)


def _slope(figures: Found, who: str, large: str) -> float:
    """Seconds for each further gigabyte: what starting takes is the same for both sizes and falls away."""
    more = (SIZES[large] - SIZES[SMALL]) / 1e9
    return (median(figures[f"{who}, {large}"].seconds) - median(figures[f"{who}, {SMALL}"].seconds)) / more


def _compiling(large: str, rounds: int, *, casts: bool) -> Row:
    def both(name: str, function: str, **settings: Any) -> list[Contender]:
        return [_whole(f"{name}, {size}", function, checkpoint=size, **settings) for size in (SMALL, large)]

    def against(who: str) -> Any:
        return lambda figures: _slope(figures, who, large) / _slope(figures, "copy and hash", large)

    def more_memory(who: str) -> Any:
        return lambda figures: (figures[f"{who}, {large}"].peak - figures[f"{who}, {SMALL}"].peak) / 1e6

    ours = both("compile", "compile_spec", options=[UNTRIED])
    cast = both("cast", "compile_spec", options=[UNTRIED, "dtype=bfloat16"]) if casts else []
    of_cast = (
        Target("cast: seconds a GB against copy and hash", 1.5, against("cast"), most=True),
        Target("cast: more memory for the large one", 100, more_memory("cast"), most=True, unit="MB"),
    )
    others = [
        *both("copy and hash", "copy_and_hash"),
        _whole("compile gpt2", "compile_spec", checkpoint="generation", options=[UNTRIED]),
        _whole("compile gpt2 and try it", "compile_spec", checkpoint="generation"),
    ]
    saving = [_whole("MLflow's save gpt2", "save_work", work="generation")]
    return Row(
        "compile",
        f"compile: {SIZES[SMALL] / 1e6:,.0f} MB and {SIZES[large] / 1e6:,.0f} MB of weights; GPT-2 small (498 MB)",
        1,
        (*ours, *cast, *others, *saving),
        (
            Target("seconds a GB against copy and hash", 1.2, against("compile"), most=True),
            Target("more memory for the large one", 100, more_memory("compile"), most=True, unit="MB"),
            *(of_cast if casts else ()),
            at_most("MLflow's save gpt2", 0.5, "compile gpt2"),
        ),
        rounds=rounds,
        unit="checkpoints",
        prepares=(("main", "benchmarks.contenders.commands:write_specs", {}),),
        note="Compiled with --no-run, as the others do not run what they make either; loading the artifact in another"
        " process to answer one input, which compile does without it, stands beside. Copying and hashing, as compiling,"
        " ends with an fsync of each file, into a new folder. MLflow saves a pipeline that it has to load, with"
        " pip_requirements given: without, it asks for torchvision and loads what it saved once more.",
    )


def _cold_start(work: str, rounds: int) -> Row:
    library = [_whole("sentence_transformers", "start_library")] if work == "embeddings" else []
    predictor = {"arguments": [str(artifact(work) / "predictor.py"), TEXT]}
    ours = (
        Contender("hfspec predictor.py", "-m", predictor, whole=True),
        _whole("hfspec", "start_ours", work=work),
    )
    return Row(
        f"cold start, {work}",
        f"cold start to the first answer, {work}",
        1,
        (
            *ours,
            _whole("MLflow", "start_incumbent", work=work),
            _whole("bare model classes", "start_bare", work=work),
            *library,
        ),
        tuple(
            at_most(than, reach, mine.name)
            for mine in ours
            for than, reach in (("MLflow", 0.75 if mine.name == "hfspec" else 0.5), ("bare model classes", 1.2))
        ),
        rounds=rounds,
        unit="starts",
        prepares=(
            ("main", "benchmarks.contenders.ours:prepare", {"work": work}),
            ("main", "benchmarks.contenders.incumbent:prepare", {"work": work}),
        ),
    )


def _validating(rounds: int) -> Row:
    command = {"arguments": ["-m", "hfspec", "validate", "specs/minilm.yaml"]}
    libraries = Contender("import of its libraries", "-m", {"arguments": ["build/bench/libraries.py"]}, whole=True)
    return Row(
        "validate",
        "hfspec validate, one spec, whole process",
        1,
        (Contender("hfspec validate", "-m", command, whole=True), libraries),
        (
            Target("seconds", 0.6, lambda figures: median(figures["hfspec validate"].seconds), most=True, unit="s"),
            Target(
                "time against importing its own libraries",
                1.3,
                times("hfspec validate", "import of its libraries"),
                most=True,
            ),
        ),
        rounds=rounds * 2,
        unit="specs",
        prepares=(("main", f"{DOING}:list_libraries", {}),),
        note="Its own libraries: every module that is not hfspec's and that the command has loaded when it is done.",
    )


def _overhead(rounds: int) -> Row:
    return Row(
        "overhead",
        "predict on one short text, 50 calls in a row (DistilBERT)",
        50,
        (
            Contender("hfspec", f"{DOING}:predict_one", {}),
            Contender(PLAIN, f"{DOING}:predict_one", {"backend": "torch"}),
            Contender("model called directly", f"{DOING}:call_one", {}),
        ),
        (at_most("model called directly", 1.1), at_most("model called directly", 1.1, PLAIN)),
        rounds=rounds,
        unit="calls",
        prepares=(("main", "benchmarks.contenders.ours:prepare", {"work": "classification"}),),
    )


def _stream(count: int) -> Row:
    def said(name: str) -> Any:
        return lambda figures: _said(figures["predict_iter"])[name]

    return Row(
        "stream",
        f"{count:,} rows from an iterator (a tiny model)",
        count,
        (_whole("predict_iter", "stream", count=count),),
        (
            Target("more memory at the end than after 10,000 rows", 20, said("more_mb"), most=True, unit="MB"),
            Target("seconds to the first answer", 1, said("first_s"), most=True, unit="s"),
        ),
        rounds=1,
        unit="rows",
        prepares=(("main", "benchmarks.contenders.ours:prepare", {"work": "tiny"}),),
    )


def _said(measured: Measured) -> dict[str, float]:
    assert isinstance(measured.said, dict)
    return measured.said
