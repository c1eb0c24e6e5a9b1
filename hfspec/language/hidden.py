"""Values that come from the environment: what a problem shows in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.tree import Tree

# A shorter one is no secret, and to replace it everywhere would garble the message.
SHORTEST = 4


def concealed(problem: Problem, tree: Tree) -> Problem:
    """Hide a value that was taken from the environment.

    Args:
        problem: A problem that may show the value.
        tree: The document, which knows the text of each interpolation.

    Returns:
        The problem with the interpolation's text in place of the value.
    """
    if not tree.hidden:
        return problem
    original = _written(problem.path, tree.hidden)
    if original:
        problem = replace(problem, found=original if problem.found else "", nearest="")
    for path, text in tree.hidden.items():
        value = str(tree.at(path))
        if len(value) >= SHORTEST:
            problem = _without(problem, value, text)
    return problem


def _written(path: KeyPath, hidden: Mapping[KeyPath, str]) -> str:
    return next((hidden[path[:length]] for length in range(len(path), 0, -1) if path[:length] in hidden), "")


def _without(problem: Problem, value: str, text: str) -> Problem:
    return replace(
        problem,
        origin=replace(problem.origin, override=problem.origin.override.replace(value, text)),
        message=problem.message.replace(value, text),
        expected=problem.expected.replace(value, text),
        found=problem.found.replace(value, text),
        nearest=problem.nearest.replace(value, text),
        remedy=problem.remedy.replace(value, text),
    )
