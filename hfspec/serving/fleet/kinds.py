"""Fleet files and files of API keys as documents of the language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from hfspec.ir.problem import Problem, one_of
from hfspec.ir.tree import Tree
from hfspec.language.kind import DocumentKind


def _schema() -> dict[str, Any]:
    from hfspec.serving.fleet.schema import composed_schema

    return composed_schema()


def _keys_schema() -> dict[str, Any]:
    from hfspec.serving.fleet.schema import keys_schema

    return keys_schema()


def _rules(tree: Tree) -> Iterator[Problem]:
    from hfspec.serving.fleet import rules

    return rules.problems(tree)


def _keys_rules(tree: Tree) -> Iterator[Problem]:
    from hfspec.serving.fleet import rules

    return rules.key_problems(tree, ("keys",))


def _with_unknown_models(tree: Tree, found: Sequence[Problem]) -> Sequence[Problem]:
    """The problems, with that of an override that names no model of the fleet as such: it makes a model of that name,
    which then lacks all that a model has.
    """
    return [_unknown_model(tree, problem) if _is_of_an_override(tree, problem) else problem for problem in found]


def _is_of_an_override(tree: Tree, problem: Problem) -> bool:
    models, path = tree.at(("models",)), problem.path
    is_missing = problem.code == "missing-key" and len(path) == 3 and (path[0], path[2]) == ("models", "artifact")
    return is_missing and bool(tree.origin(path[:2]).override) and len(models) > 1


def _unknown_model(tree: Tree, problem: Problem) -> Problem:
    name = str(problem.path[1])
    known = [str(other) for other in tree.at(("models",)) if tree.at(("models", other, "artifact")) is not None]
    return Problem(
        "unknown-model",
        f"The fleet has no model {name!r}.",
        problem.origin,
        problem.path[:2],
        expected=one_of(known),
        nearest=next(iter(get_close_matches(name, known, n=1)), ""),
        remedy=f"To add a model, give `models.{name}.artifact=…` as well.",
    )


def _as_found(tree: Tree, found: Sequence[Problem]) -> Sequence[Problem]:  # noqa: ARG001
    return found


FLEET = DocumentKind(
    noun="fleet file",
    beginning="Write `models:` with an `artifact:` for each name (docs/fleet.md).",
    schema=_schema,
    definition="Fleet",
    rules=_rules,
    as_whole=_with_unknown_models,
    reference="${server.host}",
    resolvers=frozenset({"oc.env", "oc.decode"}),
)
KEYS = DocumentKind(
    noun="key file",
    beginning="Write `keys:` with a list of names and keys (docs/fleet.md).",
    schema=_keys_schema,
    definition="KeyFile",
    rules=_keys_rules,
    as_whole=_as_found,
    reference="${oc.env:NAME}",
)
