"""The measurements as JSON, as a table, and as a plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write(whole: dict[str, Any], folder: Path) -> None:
    """results.json, results.md and results.svg in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    (folder / "results.md").write_text(page(whole), encoding="utf-8")
    if whole["rows"]:
        plot(whole, folder / "results.svg")


def page(whole: dict[str, Any]) -> str:
    """Every row with its contenders."""
    kind = "Quick run: less work and fewer rounds than the full one." if whole["quick"] else "Full run."
    head = f"# Results\n\n{kind} {described(whole['machine'])}\n\n{targets(whole)}"
    return head + "".join(f"\n{section(result)}" for result in whole["rows"])


def described(machine: dict[str, Any]) -> str:
    """The machine in a paragraph."""
    versions = "; ".join(
        f"{name}: " + ", ".join(f"{package} {version}" for package, version in packages.items())
        for name, packages in machine["versions"].items()
    )
    return (
        f"{machine['processor']}, {machine['cores']} cores ({', '.join(machine['instructions'])}),"
        f" {machine['memory_gb']} GB of memory, {machine['system']}, Python {machine['python']}. {versions}."
    )


def targets(whole: dict[str, Any]) -> str:
    """Each target beside what was measured."""
    lines = ["| work | compared | reach | measured | |", "|---|---|---|---|---|"]
    for result in whole["rows"]:
        lines += [f"| {result['title']} | {target_row(target)} |" for target in result["targets"]]
    return "\n".join(lines) + "\n"


def target_row(target: dict[str, Any]) -> str:
    """A comparison's name, what is to be reached, what was measured and whether it was."""
    unit = "x" if target["unit"] == "x" else f" {target['unit']}"
    measured = f"**{_figure(target['measured'])}{unit}**"
    if target["reach"] is None:
        return f"{target['what']} | | {measured} | "
    sign = "at most" if target["most"] else "at least"
    met = "reached" if target["met"] else "missed"
    return f"{target['what']} | {sign} {target['reach']:g}{unit} | {measured} | {met}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def section(result: dict[str, Any]) -> str:
    """One row: its contenders side by side, then its targets."""
    unit = result["unit"]
    lines = [
        f"## {result['title']}\n",
        f"| contender | seconds (median of {result['rounds']}) | least to most | {unit}/s | peak MB |",
        "|---|---|---|---|---|",
    ]
    for name, figures in result["contenders"].items():
        low, high = min(figures["seconds"]), max(figures["seconds"])
        lines.append(
            f"| {name} | {figures['median']:.3g} | {low:.3g} to {high:.3g} | {figures['a_second']:.3g}"
            f" | {figures['peak_mb']:,} |"
        )
    lines += [
        "",
        *(
            f"- {target_row(target).replace(' | ', ': ', 1).replace(' | ', '; measured ', 1).replace(' | ', ', ')}"
            for target in result["targets"]
        ),
    ]
    lines += [f"- {result['note']}"] if result["note"] else []
    return "\n".join(lines) + "\n"


def plot(whole: dict[str, Any], path: Path) -> None:
    """Every target's figure over what must be reached, so that 1 is the line; to its right is better."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "hfspec"
    from matplotlib import pyplot as plt

    entries = [(result, target) for result in whole["rows"] for target in result["targets"]][::-1]
    names = [f"{result['name']}: {target['what']}" for result, target in entries]
    values = [_against(target) for _, target in entries]
    colours = ["#2a7f4f" if target["met"] else "#b5483a" for _, target in entries]
    figure, axes = plt.subplots(figsize=(9, 0.27 * len(entries) + 1))
    axes.barh(names, values, color=colours)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("measured over target (1: just reached; further right is better)")
    axes.tick_params(axis="y", labelsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _against(target: dict[str, Any]) -> float:
    measured = max(target["measured"], 1e-3)
    value = target["reach"] / measured if target["most"] else measured / target["reach"]
    return min(max(value, 0.05), 20.0)
