"""Measure hfspec beside what people use today, and write what was found.

    python -m benchmarks [--quick] [--baseline PYTHON] [--only ROW ...] [--output DIR]

``--baseline``: the Python of an environment with transformers 4.57 and MLflow, for the tasks that transformers 5 has
removed; without it their rows have nobody to be compared with and are left out. `make bench` makes it and passes it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import agreement, answering, commands, machine, report
from benchmarks.measuring import Measured, measure, prepare, pythons
from benchmarks.rows import Row
from benchmarks.work import CHECKPOINTS


def main(arguments: list[str]) -> int:
    """1 when contenders gave different answers or one failed; a missed target is no failure."""
    options = _options(arguments)
    interpreters = pythons(options.baseline)
    # Not in this process: what it holds would count in the peak of each that it starts.
    arguments_of_make = {"folder": str(CHECKPOINTS), "large": not options.quick}
    prepare([("main", "benchmarks.material:make", arguments_of_make)], interpreters)
    results, failures, ready = [], [], []
    for row in [*answering.rows(quick=options.quick), *commands.rows(quick=options.quick)]:
        if options.quick and not row.quick:
            continue
        if options.only and row.name not in options.only:
            continue
        if any(contender.python not in interpreters for contender in row.contenders):
            print(f"{row.name}: left out, needs --baseline", flush=True)
            continue
        try:
            prepare([call for call in row.prepares if call not in ready], interpreters)
            ready += row.prepares
            results.append(_measured(row, interpreters))
        except RuntimeError as error:
            failures.append(f"{row.name}: {error}")
            print(failures[-1], flush=True)
            continue
        print(report.section(results[-1]), flush=True)
        whole = {"machine": machine.describe(interpreters), "quick": options.quick, "rows": results}
        report.write(whole, Path(options.output))  # after each row: what is measured is kept, whatever ends the run
    failures += [line for result in results for line in result["disagreements"]]
    print("\n".join(failures) or f"written to {options.output}", flush=True)
    return 1 if failures else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less work, fewer rounds, about two and a half minutes")
    parser.add_argument("--baseline", help="the Python with transformers 4.57")
    parser.add_argument("--only", nargs="*", help="rows by name")
    parser.add_argument("--output", default="benchmarks/results", help="the folder to write to")
    return parser.parse_args(arguments)


def _measured(row: Row, interpreters: dict[str, str]) -> dict[str, Any]:
    started = time.monotonic()
    figures = measure(row.contenders, interpreters, row.rounds)
    targets = [(target, target.value(figures)) for target in row.targets]
    return {
        "name": row.name,
        "title": row.title,
        "count": row.count,
        "unit": row.unit,
        "note": row.note,
        "rounds": row.rounds,
        "took": round(time.monotonic() - started, 1),
        "contenders": {name: _contender(mine, row.count) for name, mine in figures.items()},
        "targets": [
            {"what": target.words, "reach": target.reach, "most": target.most, "unit": target.unit,
             "measured": round(figure, 4), "met": target.met(figure)}
            for target, figure in targets
        ],
        "disagreements": [f"{row.name}: {line}" for line in agreement.disagreements(row.same or {}, figures)],
    }  # fmt: skip


def _contender(figures: Measured, count: int) -> dict[str, Any]:
    middle = median(figures.seconds)
    loading = {} if figures.loading is None else {"loading": round(figures.loading, 2)}
    return {
        "seconds": [round(seconds, 4) for seconds in figures.seconds],
        "median": round(middle, 4),
        "a_second": round(count / middle, 2),
        "peak_mb": round(figures.peak / 1e6),
        **loading,
        **({"said": figures.said} if isinstance(figures.said, dict) else {}),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
