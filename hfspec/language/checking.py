"""Everything that is wrong with a composed document, also where parts of it could not be read or composed."""

from __future__ import annotations

from collections.abc import Sequence

from hfspec.ir.problem import Problem
from hfspec.ir.tree import Tree
from hfspec.language import packages, rules, shape
from hfspec.language.documents import WITHHELD

# Problems that what could not be composed may be the reason of.
OF_ABSENCE = frozenset({"missing-key", "missing-value", "prompt-template", "revision-without-repo", "source-place"})

# The keys without which no file is a spec.
NEEDED = (("spec_version",), ("library",), ("task",), ("model",))


def problems(tree: Tree) -> tuple[Problem, ...]:
    """Everything that is wrong, sorted by place; empty for a good spec. Needs no typed model."""
    lifted, found = packages.lifted(tree)
    return _sorted(_as_part(tree, [*found, *shape.problems(lifted), *rules.problems(lifted)]))


def with_others(tree: Tree, known: Sequence[Problem]) -> tuple[Problem, ...]:
    """``known``, which kept the document from being read or composed as a whole, and what is wrong with the rest of
    it. A key counts as missing only where nothing known can be the reason.
    """
    withheld = [problem for problem in known if problem.code in WITHHELD and problem.path[:1] != ("defaults",)]
    paths = {problem.path for problem in withheld if problem.path}
    origins = {problem.origin for problem in withheld}
    is_incomplete = len(withheld) < len(known)
    others = [
        problem
        for problem in problems(tree)
        if problem.origin not in origins
        and not any(problem.path[: len(path)] == path for path in paths)
        and not (is_incomplete and problem.code in OF_ABSENCE)
    ]
    return _sorted([*dict.fromkeys(known), *others])


def _as_part(tree: Tree, found: Sequence[Problem]) -> Sequence[Problem]:
    """The problems, with one in the place of many where hardly any key is there that makes a spec."""
    missing = [problem for problem in found if problem.code == "missing-key" and problem.path in NEEDED]
    if len(missing) < len(NEEDED):
        return found
    names = ", ".join(f"`{problem.path[0]}`" for problem in missing)
    remedy = (
        "Write them, or begin with `hfspec init`. A part that specs are composed of is not a spec: give the part, or "
        "its folder, a name that begins with `_`, and begin it with the line `# @package _global_`."
    )
    message = f"The file has none of the keys that a spec needs: {names}."
    one = Problem("missing-key", message, tree.origin(()), remedy=remedy)
    return [one, *(problem for problem in found if problem not in missing)]


def _sorted(found: Sequence[Problem]) -> tuple[Problem, ...]:
    return tuple(
        sorted(found, key=lambda problem: (problem.origin, [str(part) for part in problem.path], problem.code))
    )
