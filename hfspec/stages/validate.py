"""Tree -> Spec: the shape and the rules, then the typed value; all problems at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfspec.errors import SpecError
from hfspec.ir.frozen import thaw
from hfspec.ir.problem import Problem
from hfspec.ir.tree import Tree
from hfspec.language import checking
from hfspec.language.kind import SPEC

if TYPE_CHECKING:
    from hfspec.ir.spec import Spec


def validate(tree: Tree) -> Spec:
    """The tree as a typed spec. Raises SpecError with every problem."""
    from hfspec.language.model import parse_document

    if faults := problems(tree):
        raise SpecError(faults)
    try:
        return parse_document(thaw(tree.value))
    except ValueError as error:  # only the typed model refuses it: it never does, as tests show
        message = f"The spec is not valid: {' '.join(str(error).split())}."
        raise SpecError([Problem("invalid", message, tree.origin(()))]) from error


def problems(tree: Tree) -> tuple[Problem, ...]:
    """Everything that is wrong, sorted by place; empty when validate gives a spec. Needs no typed model."""
    return checking.problems(tree, SPEC)
