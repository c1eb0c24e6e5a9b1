"""The report of a check of a repository of specs: for a person, as annotations, or as a comment on a pull request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hfspec.comparison.folders import FileChange
from hfspec.ir.problem import Origin, Problem, dotted
from hfspec.redaction import redacted
from hfspec.report.diff import render as render_diff
from hfspec.report.problems import render as render_problems

MARKS = {"new": "+", "changed": "~", "deleted": "-"}


@dataclass(frozen=True, slots=True)
class Checked:
    """The findings of a check. ``files``: the specs and fleet files that were checked; ``problems``: of all of them,
    those of locks too; ``changes``: since the base, None where none was given; ``base``: its name.
    """

    files: tuple[str, ...]
    problems: tuple[Problem, ...]
    changes: tuple[FileChange, ...] | None = None
    base: str = ""


def render(checked: Checked, format: str) -> str:  # noqa: A002 - the option's name
    """Write the outcome of a check for a reader.

    Args:
        checked: The outcome.
        format: ``text``, ``github`` for annotations, ``md`` for a comment on a pull request.

    Returns:
        The report.
    """
    return redacted({"text": _text, "github": _github, "md": _markdown}[format](checked))


def summary(checked: Checked) -> str:
    """The outcome on one line."""
    count, places = len(checked.files), {problem.origin.file for problem in checked.problems}
    files = f"{count} file{'' if count == 1 else 's'} checked"
    problems = f"{len(checked.problems)} problem{'' if len(checked.problems) == 1 else 's'} in {len(places)}"
    outcome = problems if checked.problems else "all good"
    if checked.changes is None:
        return f"{files}, {outcome}"
    kinds = [change.kind for change in checked.changes]
    changes = ", ".join(f"{kinds.count(kind)} {kind}" for kind in MARKS if kind in kinds) or "nothing changed"
    return f"{files}, {outcome}; since {checked.base}: {changes}"


def changes_text(changes: Sequence[FileChange]) -> str:
    """Changed files for a person: a line a file, and below it what its change means."""
    blocks = []
    for change in changes:
        lines = [f"{MARKS[change.kind]} {change.path}: {change.kind}"]
        if change.fault:
            lines.append(_indented(f"cannot be compared: {change.fault}"))
        elif change.changes:  # the first line names the two sides, which are one file here
            lines.append(_indented(render_diff(change.changes, ("", ""), "text").partition("\n")[2].strip("\n")))
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def changes_markdown(changes: Sequence[FileChange]) -> str:
    """Changed files for a pull request: a part that opens for each."""
    blocks = []
    for change in changes:
        if change.fault:
            body = f"Cannot be compared:\n\n```\n{change.fault}\n```"
        elif change.changes:
            body = render_diff(change.changes, ("", ""), "markdown").partition("\n\n")[2]
        else:
            blocks.append(f"`{change.path}` {change.kind}")
            continue
        opened = "" if change.path.endswith(".lock") else " open"
        head = f"<details{opened}><summary><code>{change.path}</code> {change.kind}</summary>"
        blocks.append(f"{head}\n\n{body}\n\n</details>")
    return "\n\n".join(blocks)


def _text(checked: Checked) -> str:
    parts = (render_problems(checked.problems), changes_text(checked.changes or ()), summary(checked))
    return "\n\n".join(filter(None, parts))


def _github(checked: Checked) -> str:
    notices = [
        Problem(
            "changed", f"{change.path} is {change.kind}: {_short(change)}", Origin(file=change.path, line=1, column=1)
        )
        for change in checked.changes or ()
        if change.kind != "deleted"
    ]
    remarks = render_problems(notices, "github").replace("::error ", "::notice ")
    deleted = [f"::notice ::{change.path} is deleted" for change in checked.changes or () if change.kind == "deleted"]
    return "\n".join(filter(None, (render_problems(checked.problems, "github"), remarks, *deleted, summary(checked))))


def _short(change: FileChange) -> str:
    if change.fault:
        return "it cannot be compared"
    return ", ".join(dict.fromkeys(each.group for each in change.changes)) or "no part of it is compared"


def _markdown(checked: Checked) -> str:
    parts = [f"### hfspec check\n\n{'❌' if checked.problems else '✅'} {summary(checked)}"]
    if checked.problems:
        rows = (f"| `{problem.origin}` | {_cell(problem)} |" for problem in checked.problems)
        parts.append("\n".join(["| where | what |", "|---|---|", *rows]))
    if checked.changes:
        parts += [f"#### Changed since `{checked.base}`", changes_markdown(checked.changes)]
    return "\n\n".join(parts)


def _cell(problem: Problem) -> str:
    key = f"`{dotted(problem.path)}`: " if problem.path else ""
    remedy = f" *{problem.remedy}*" if problem.remedy else ""
    return (key + problem.message + remedy).replace("|", "\\|").replace("\n", "<br>")


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.split("\n"))
