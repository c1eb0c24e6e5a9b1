"""Fleet files and files of API keys as documents of the language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from typing import Any

from hfspec.ir.problem import KeyPath, Problem, one_of
from hfspec.ir.tree import Tree
from hfspec.language.hydra_keys import braced
from hfspec.language.kind import DocumentKind
from hfspec.redaction import HIDDEN

SHOWN = ("name", "scopes")


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


def _secrets(path: KeyPath, tree: Tree) -> Mapping[KeyPath, str]:
    """The values to hide in a list of API keys at ``path``: all but names and scopes."""
    keys = tree.at(path)
    hidden: dict[KeyPath, str] = {}
    for index, key in enumerate(keys if isinstance(keys, tuple) else ()):
        names = [name for name in key if name not in SHOWN] if isinstance(key, Mapping) else None
        paths: list[KeyPath] = [(*path, index)] if names is None else [(*path, index, name) for name in names]
        hidden |= {at: HIDDEN for at in paths if isinstance(tree.at(at), str | int | float)}
    return hidden


def _reword_all(tree: Tree, problems: Sequence[Problem]) -> Sequence[Problem]:
    """The problems in better words. An override that names no model of the fleet makes an empty one of that name: its
    problem says so. A text from the environment in place of a number: its problem says what to write.
    """
    unknown = {problem.path[:2] for problem in problems if _is_of_an_override(tree, problem)}
    return [
        _reword(tree, problem)
        for problem in problems
        if problem.path[:2] not in unknown or _is_of_an_override(tree, problem)
    ]


def _reword(tree: Tree, problem: Problem) -> Problem:
    if _is_of_an_override(tree, problem):
        return _unknown_model(tree, problem)
    source = tree.hidden.get(problem.path, "")
    if problem.code == "wrong-type" and source.startswith("${oc.env:"):
        remedy = f"A variable of the environment is a text; write `${{oc.decode:{source}}}`."
        return replace(problem, remedy=remedy)
    return problem


def _is_of_an_override(tree: Tree, problem: Problem) -> bool:
    models, path = tree.at(("models",)), problem.path
    is_missing = problem.code == "missing-key" and len(path) == 3 and (path[0], path[2]) == ("models", "artifact")
    return is_missing and bool(tree.origin(path[:2]).override) and len(models) > 1


def _unknown_model(tree: Tree, problem: Problem) -> Problem:
    name = str(problem.path[1])
    names = [str(other) for other in tree.at(("models",)) if tree.at(("models", other, "artifact")) is not None]
    remedy = f"To add a model, give `models.{name}.artifact=…` as well."
    key, _, value = problem.origin.override.partition("=")
    if meant := next((other for other in names if key.startswith(f"models.{other}.")), None):
        right = braced("models", meant, key.removeprefix(f"models.{meant}"), value)
        remedy = f"A dot ends a name in an override; a name that has one stands in braces: {right}."
    return Problem(
        "unknown-model",
        f"The fleet has no model {name!r}.",
        problem.origin,
        problem.path[:2],
        expected=one_of(names),
        nearest=next(iter(get_close_matches(name, names, n=1)), ""),
        remedy=remedy,
    )


FLEET = DocumentKind(
    noun="fleet file",
    beginning="Write `models:` with an `artifact:` for each name (docs/fleet.md).",
    schema=_schema,
    definition="Fleet",
    rules=_rules,
    as_whole=_reword_all,
    reference="${server.host}",
    secrets=partial(_secrets, ("server", "api_keys", "keys")),
    resolvers=frozenset({"oc.env", "oc.decode"}),
)
KEYS = DocumentKind(
    noun="key file",
    beginning="Write `keys:` with a list of names and keys (docs/fleet.md).",
    schema=_keys_schema,
    definition="KeyFile",
    rules=_keys_rules,
    reference="${oc.env:NAME}",
    secrets=partial(_secrets, ("keys",)),
)
