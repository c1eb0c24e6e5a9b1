"""The measurements of servers, as tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.report import described, target_row


def write(whole: dict[str, Any], output: Path) -> None:
    """The JSON, and beside it the tables."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    output.with_suffix(".md").write_text(page(whole), encoding="utf-8")


def page(whole: dict[str, Any]) -> str:
    """Every work with its contenders and targets."""
    parts = [described(whole["machine"])]
    parts += [section(work) for work in whole["works"].values()]
    return "\n\n".join(parts) + "\n"


def section(work: dict[str, Any]) -> str:
    """One work: its contenders side by side, then what was to be reached."""
    contenders = work["contenders"]
    figures = list(dict.fromkeys(figure for values in contenders.values() for figure in values))
    rounds = max((len(each) for each in work["rounds"].values()), default=0)
    lines = [
        f"| {work['title']}; medians of {rounds} | " + " | ".join(figures) + " |",
        "|---" * (len(figures) + 1) + "|",
    ]
    for name, values in contenders.items():
        lines.append(f"| {name} | " + " | ".join(_cell(values.get(figure)) for figure in figures) + " |")
    lines += ["", "| compared | reach | measured | |", "|---|---|---|---|"]
    lines += [f"| {target_row(target)} |" for target in work["targets"]]
    lines += [f"\nLeft out: {name}: {why.splitlines()[0]}" for name, why in work["failures"].items()]
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
