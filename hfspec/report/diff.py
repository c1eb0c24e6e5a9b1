"""The changes between two specs or artifacts: for a person, for a program, or as a table for a pull request."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from hfspec.comparison.change import Change
from hfspec.ir.frozen import thaw
from hfspec.report.sizes import in_bytes
from hfspec.report.table import aligned, plain_text

LONGEST = 120
MARKS = {"added": "+", "removed": "-", "changed": "~"}
TEXTS = ("prompt template", "chat template")
SHA256 = re.compile(r"[0-9a-f]{64}")


def render(changes: Sequence[Change], names: tuple[str, str], format: str) -> str:  # noqa: A002 - the option's name
    """Write changes for a reader.

    Args:
        changes: The changes.
        names: What was compared.
        format: ``text``: a block for each group; on each line a mark (+ added, - removed, ~ changed), the key, and
            before -> after; prompts and other texts of several lines as a line diff. ``json``: before and after (the
            names), changed, and changes: group, key, kind, before, after, and for texts lines, the line diff.
            ``markdown``: a table with a row a change, and the line diffs below it.

    Returns:
        The report; as text empty where there are no changes.

    Raises:
        KeyError: For any other format.
    """
    return {"text": _text, "json": _json, "markdown": _markdown}[format](changes, names)


def _text(changes: Sequence[Change], names: tuple[str, str]) -> str:
    if not changes:
        return ""
    blocks = [f"{plain_text(names[0])} -> {plain_text(names[1])}"]
    for group, members in groupby(changes, key=lambda change: change.group):
        blocks.append("\n".join([plain_text(group), *_lines(list(members))]))
    return "\n\n".join(blocks)


def _lines(members: list[Change]) -> list[str]:
    rows = [(f"{MARKS[change.kind]} {plain_text(change.key)}".rstrip(), _arrow(change)) for change in members]
    lines = aligned(rows).split("\n")
    result = []
    for change, line in zip(members, lines, strict=True):
        result.append(line.rstrip())
        if is_text(change):
            result += [f"    {part}" for part in line_diff(change)]
    return result


def _arrow(change: Change) -> str:
    if is_text(change):
        return ""
    if change.kind == "changed":
        return f"{_value(change, change.before)} -> {_value(change, change.after)}"
    return _value(change, change.after if change.kind == "added" else change.before)


def _json(changes: Sequence[Change], names: tuple[str, str]) -> str:
    body = {
        "before": names[0],
        "after": names[1],
        "changed": bool(changes),
        "changes": [_object(change) for change in changes],
    }
    return json.dumps(body, indent=2, ensure_ascii=False)


def _object(change: Change) -> dict[str, Any]:
    lines = {"lines": line_diff(change)} if is_text(change) else {}
    return {
        "group": change.group,
        "key": change.key,
        "kind": change.kind,
        "before": thaw(change.before),
        "after": thaw(change.after),
        **lines,
    }


def _markdown(changes: Sequence[Change], names: tuple[str, str]) -> str:
    title = f"**{_code(names[0])} → {_code(names[1])}**"
    if not changes:
        return f"{title}\n\nNo changes."
    rows = [
        f"| {_cell(change.group)} | {_code(change.key) if change.key else ''} | {before} | {after} |"
        for change in changes
        for before, after in [_cells(change)]
    ]
    table = "\n".join(["| what | key | before | after |", "|---|---|---|---|", *rows])
    return "\n\n".join([title, table, *(_block(change) for change in changes if is_text(change))])


def _cells(change: Change) -> tuple[str, str]:
    if is_text(change):
        return ("" if change.kind == "added" else "see below", "*removed*" if change.kind == "removed" else "see below")
    before = "" if change.kind == "added" else _code(_value(change, change.before))
    return before, "*removed*" if change.kind == "removed" else _code(_value(change, change.after))


def told(change: Change) -> tuple[str, str]:
    """The two values of a change as plain text; empty where a side has none, and a hint for texts of several lines."""
    if is_text(change):
        return ("" if change.kind == "added" else "see below"), ("" if change.kind == "removed" else "see below")
    before = "" if change.kind == "added" else _value(change, change.before)
    return before, "" if change.kind == "removed" else _value(change, change.after)


def _block(change: Change) -> str:
    lines = "\n".join(line_diff(change))
    longest = max((len(run) for run in re.findall(r"`+", lines)), default=0)
    fence = "`" * max(3, longest + 1)
    return (
        f"{_cell(change.group)} {_code(change.key) if change.key else ''}".rstrip() + f"\n{fence}diff\n{lines}\n{fence}"
    )


def line_diff(change: Change) -> list[str]:
    """Compare a text before and after its change, line by line.

    Args:
        change: The change of a text.

    Returns:
        Lines that begin with ``-``, ``+`` or a blank, and ``@@`` before each stretch.
    """
    before, after = (value.split("\n") if isinstance(value, str) else [] for value in (change.before, change.after))
    lines = difflib.unified_diff(before, after, lineterm="", n=2)
    return [plain_text(line) for line in list(lines)[2:]]


def is_text(change: Change) -> bool:
    """Whether a line diff tells more than the two values: prompts always, other texts when they have several lines."""
    values = [value for value in (change.before, change.after) if value is not None]
    if not all(isinstance(value, str) for value in values):
        return False
    return change.group in TEXTS or any("\n" in str(value) for value in values)


def _value(change: Change, value: Any) -> str:
    if change.group == "size" and isinstance(value, int):
        return f"{in_bytes(value)} ({value})" if value >= 1000 else in_bytes(value)
    if isinstance(value, str) and SHA256.fullmatch(value):
        return value[:12]
    text = plain_text(value if isinstance(value, str) and value else json.dumps(thaw(value), ensure_ascii=False))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _code(text: str) -> str:
    """A code span that may stand in a table: nothing in it is markup, whatever it holds."""
    plain = plain_text(text).replace("|", "\\|")
    longest = max((len(run) for run in re.findall(r"`+", plain)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest or not plain.strip() else ""
    return f"{fence}{pad}{plain}{pad}{fence}"


def _cell(text: str) -> str:
    return plain_text(text).replace("|", "\\|")
