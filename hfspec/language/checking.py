"""Everything that is wrong with a composed document, also where parts of it could not be read or composed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hfspec.ir.problem import Problem
from hfspec.ir.tree import Tree
from hfspec.language import packages, shape
from hfspec.language.documents import WITHHELD
from hfspec.language.hidden import concealed
from hfspec.language.kind import DocumentKind

# Problems that what could not be composed may be the reason of.
OF_ABSENCE = frozenset({"missing-key", "missing-value", "prompt-template", "revision-without-repo", "source-place"})


def problems(tree: Tree, kind: DocumentKind, others: Iterable[Problem] = ()) -> tuple[Problem, ...]:
    """Find everything that is wrong with a document. It needs no typed model.

    Args:
        tree: The document, each value with its place.
        kind: The kind of document: a spec, or another.
        others: Problems that are known already.

    Returns:
        All problems, sorted by place; empty for a good document.
    """
    tree = replace(tree, hidden={**kind.secrets(tree), **tree.hidden})
    lifted, own = packages.lifted(tree, kind)
    own += [*shape.problems(lifted, kind), *kind.rules(lifted), *others]
    return _sorted([concealed(problem, tree) for problem in kind.as_whole(tree, own)])


def with_others(tree: Tree, first: Sequence[Problem], kind: DocumentKind) -> tuple[Problem, ...]:
    """Find the rest of what is wrong with a document that could not be read or composed as a whole.

    Args:
        tree: The document, as far as it could be read.
        first: The problems that kept the document from being read.
        kind: The kind of document: a spec, or another.

    Returns:
        All problems. A key counts as missing only where nothing known can be the reason.
    """
    withheld = [problem for problem in first if problem.code in WITHHELD and problem.path[:1] != ("defaults",)]
    paths = {problem.path for problem in withheld if problem.path}
    origins = {problem.origin for problem in withheld}
    is_incomplete = len(withheld) < len(first)
    others = [
        problem
        for problem in problems(tree, kind)
        if problem.origin not in origins
        and not any(problem.path[: len(path)] == path for path in paths)
        and not (is_incomplete and problem.code in OF_ABSENCE)
    ]
    return _sorted([*dict.fromkeys(first), *others])


def _sorted(unsorted: Sequence[Problem]) -> tuple[Problem, ...]:
    return tuple(
        sorted(unsorted, key=lambda problem: (problem.origin, [str(part) for part in problem.path], problem.code))
    )
