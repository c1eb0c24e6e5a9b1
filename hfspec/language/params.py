"""The rules of ``signature.params``: a default of the param's type, within its limits; limits the setting can take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hfspec.ir.frozen import thaw
from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.tree import Tree
from hfspec.language.draft import Draft, DraftParam
from hfspec.tasks.setting import Setting

NUMBERS = ("integer", "long", "float", "double")
WORDS = {
    "string": "a text",
    "boolean": "true or false",
    "integer": "a whole number of 32 bits",
    "long": "a whole number",
    "float": "a number",
    "double": "a number",
}


def problems(draft: Draft) -> Iterator[Problem]:
    """Check the spec's params.

    Args:
        draft: The spec, as its rules read it.

    Returns:
        Every rule that they break; what their shape breaks is left to the schema.
    """
    for name, param in draft.params.items():
        if not param.is_bare and param.has_default and _well_formed(param):
            setting = draft.task.setting(name) if draft.task else None
            yield from _param(draft.tree, ("signature", "params", name), param, setting)


def _well_formed(param: DraftParam) -> bool:
    good = all(limit is None or _is_number(limit) for limit in (param.minimum, param.maximum))
    return good and (param.type is None or param.type in WORDS) and _is_choices(param.choices)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_choices(value: Any) -> bool:
    return value is None or isinstance(value, tuple)


def type_of(default: Any) -> str:
    """Name the type of a default.

    Args:
        default: The default.

    Returns:
        MLflow's name for its type; empty when it has none.
    """
    if isinstance(default, bool):
        return "boolean"
    if isinstance(default, int):
        return "long"
    return {float: "double", str: "string"}.get(type(default), "")


def _param(tree: Tree, path: KeyPath, param: DraftParam, setting: Setting | None) -> Iterator[Problem]:
    default, kind = param.default, param.type or type_of(param.default)
    if not kind:
        message = "The type of the param cannot be told from its default."
        yield _problem(
            tree, (*path, "default"), "param-type", message, remedy=f"Write `type:`, one of {', '.join(WORDS)}."
        )
        return
    if default is not None and not _has_type(default, kind):
        message = "The default is not of the param's type."
        yield _problem(tree, (*path, "default"), "param-type", message, WORDS[kind], default)
        return
    yield from _limits(tree, path, param, kind, setting)
    yield from _choices(tree, path, param, kind, setting)


def _has_type(value: Any, kind: str) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "boolean":
        return isinstance(value, bool)
    if not _is_number(value):
        return False
    if kind in ("float", "double"):
        return True
    whole = isinstance(value, int) or value.is_integer()
    return whole and (kind == "long" or -(2**31) <= value < 2**31)


def _limits(tree: Tree, path: KeyPath, param: DraftParam, kind: str, setting: Setting | None) -> Iterator[Problem]:
    minimum, maximum, default = param.minimum, param.maximum, param.default
    for key, limit in (("minimum", minimum), ("maximum", maximum)):
        if limit is not None and kind not in NUMBERS:
            yield _problem(tree, (*path, key), "dead-key", f"A param of type {kind} has no {key}.", remedy="Remove it.")
        elif limit is not None and setting is not None and (fault := setting.fault(limit)):
            yield _problem(tree, (*path, key), "param-limits", f"The setting cannot take the {key}.", fault, limit)
    if kind not in NUMBERS:
        return
    if minimum is not None and maximum is not None and minimum > maximum:
        message = "The minimum is above the maximum."
        yield _problem(tree, (*path, "minimum"), "param-limits", message, f"at most {maximum}", minimum)
    elif default is not None and minimum is not None and default < minimum:
        message = "The default is below the minimum."
        yield _problem(tree, (*path, "default"), "param-limits", message, f"at least {minimum}", default)
    elif default is not None and maximum is not None and default > maximum:
        message = "The default is above the maximum."
        yield _problem(tree, (*path, "default"), "param-limits", message, f"at most {maximum}", default)


def _choices(tree: Tree, path: KeyPath, param: DraftParam, kind: str, setting: Setting | None) -> Iterator[Problem]:
    choices = param.choices
    if choices is None:
        return
    for index, choice in enumerate(choices):
        fault = setting.fault(choice) if setting is not None else ""
        expected = fault or ("" if choice is None or _has_type(choice, kind) else WORDS[kind])
        if expected:
            place = (*path, "choices", index)
            yield _problem(tree, place, "param-type", "The param cannot take this choice.", expected, choice)
    if not any(choice == param.default and type(choice) is type(param.default) for choice in choices):
        expected = "one of " + ", ".join(map(_shown, choices))
        message = "The default is not one of the choices."
        yield _problem(tree, (*path, "default"), "param-limits", message, expected, param.default)


def _problem(  # noqa: PLR0917 - a problem in the order in which it is told
    tree: Tree, path: KeyPath, code: str, message: str, expected: str = "", value: Any = "", *, remedy: str = ""
) -> Problem:
    text = _shown(value)[:80]
    return Problem(code, message, tree.origin(path), path, expected=expected, found=text, remedy=remedy)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(thaw(value), ensure_ascii=False)
