"""Why a model is not made a graph."""

from __future__ import annotations

from hfspec.errors import SpecError
from hfspec.ir.problem import Problem


def refusal(message: str, *, expected: str = "", found: str = "") -> SpecError:
    """The error of a spec that asks for a graph of a model that cannot be one."""
    remedy = "Leave out `format`, so that torch computes this model."
    return SpecError([Problem("format", message, path=("format",), expected=expected, found=found, remedy=remedy)])
