"""Tree -> Spec: the shape first, then the rules, then the typed value; all problems at once."""

from __future__ import annotations

from hfspec.errors import SpecError
from hfspec.ir.frozen import thaw
from hfspec.ir.problem import Problem
from hfspec.ir.spec import Spec
from hfspec.ir.tree import Tree
from hfspec.language import rules, shape
from hfspec.language.model import parse_document


def validate(tree: Tree) -> Spec:
    """The tree as a typed spec. Raises SpecError with every problem."""
    found = problems(tree)
    if found:
        raise SpecError(found)
    return parse_document(thaw(tree.value))


def problems(tree: Tree) -> tuple[Problem, ...]:
    """Everything that is wrong, sorted by place; empty when validate would give a spec."""
    found = [*shape.problems(tree), *rules.problems(tree)]
    if not found:
        found += _disagreement(tree)
    return tuple(
        sorted(found, key=lambda problem: (problem.origin, [str(part) for part in problem.path], problem.code))
    )


def _disagreement(tree: Tree) -> list[Problem]:
    """What only the typed model refuses: nothing, as tests show; were there something, it would be a problem too."""
    try:
        parse_document(thaw(tree.value))
    except ValueError as error:
        message = f"The spec is not valid: {' '.join(str(error).split())}."
        return [Problem("invalid", message, tree.origin(()))]
    return []
