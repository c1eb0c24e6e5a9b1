"""Problems as text for a person, JSON for a program, or annotations for GitHub."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hfspec.ir.problem import Problem, dotted


def render(problems: Sequence[Problem], format: str = "text") -> str:  # noqa: A002 - the option's name
    """Write problems for a reader or a tool.

    Args:
        problems: The problems, in the order in which they are written.
        format: ``text``: ``place: key.path: message``, with what was expected and found on lines of their own.
            ``json``: a list of objects with exactly the keys file, line, column, override, path, code, message,
            expected, found, nearest, remedy; line and column count from 1, and 0 is the file as a whole; path is a
            list of keys and positions. ``github``: a workflow command a line
            (https://docs.github.com/actions/reference/workflow-commands-for-github-actions).

    Returns:
        The report; as text empty where there are no problems.

    Raises:
        KeyError: For any other format.
    """
    return {"text": _text, "json": _json, "github": _github}[format]([problem.redacted() for problem in problems])


def _text(problems: Sequence[Problem]) -> str:
    return "\n".join(_paragraph(problem) for problem in problems)


def _paragraph(problem: Problem) -> str:
    place = f"{problem.origin}: " if str(problem.origin) else ""
    key = f"{dotted(problem.path)}: " if problem.path else ""
    return "\n".join([f"{place}{key}{problem.message}", *(f"    {line}" for line in _details(problem))])


def _details(problem: Problem) -> list[str]:
    lines = []
    if problem.expected:
        lines.append(f"expected: {problem.expected}")
    if problem.found:
        lines.append(f"found: {problem.found}")
    if problem.nearest:
        lines.append(f"did you mean: {problem.nearest}")
    # A remedy may be lines to paste; what was found is the user's, and stays on one.
    plain = [line.replace("\r", " ").replace("\n", " ") for line in lines]
    return [*plain, *(line.replace("\r", " ") for line in problem.remedy.split("\n") if line)]


def _json(problems: Sequence[Problem]) -> str:
    return json.dumps([_object(problem) for problem in problems], indent=2, ensure_ascii=False)


def _object(problem: Problem) -> dict[str, Any]:
    origin = problem.origin
    return {
        "file": origin.file,
        "line": origin.line,
        "column": origin.column,
        "override": origin.override,
        "path": list(problem.path),
        "code": problem.code,
        "message": problem.message,
        "expected": problem.expected,
        "found": problem.found,
        "nearest": problem.nearest,
        "remedy": problem.remedy,
    }


def _github(problems: Sequence[Problem]) -> str:
    return "\n".join(_annotation(problem) for problem in problems)


def _annotation(problem: Problem) -> str:
    origin = problem.origin
    place = {
        "file": origin.file,
        "line": str(origin.line or ""),
        "col": str(origin.column or ""),
        "title": problem.code,
    }
    properties = ",".join(f"{key}={_escape_property(value)}" for key, value in place.items() if value)
    key = f"{dotted(problem.path)}: " if problem.path else ""
    override = f"{origin}: " if origin.override else ""
    text = "\n".join([f"{override}{key}{problem.message}", *_details(problem)])
    return f"::error {properties}::{_escape(text)}"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
