"""The form of a ``defaults:`` list, checked entry by entry before Hydra reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hfspec.ir.problem import Origin, Problem
from hfspec.language import hydra_keys
from hfspec.language.kind import DocumentKind


def faults(value: Any, kind: DocumentKind) -> Iterator[Problem]:
    """Check that ``defaults`` is a list, and every entry one that can be read.

    Args:
        value: The document, in plain values.
        kind: What kind of document it is.

    Returns:
        The problems, still without a place.
    """
    defaults = value.get("defaults", ()) if isinstance(value, Mapping) else ()
    if not isinstance(defaults, tuple):
        message = "`defaults` must be a list."
        remedy = "Write `defaults: [/_base/name, _self_]`, or the same with one `- entry` a line."
        yield Problem("defaults", message, path=("defaults",), expected="a list", remedy=remedy)
        return
    for index, entry in enumerate(defaults):
        if group := _hydras(entry):
            yield hydra_keys.problem(group, Origin(), ("defaults", index), kind)
        elif not _is_entry(entry):
            message = "An entry of a defaults list must name a config or choose from a group."
            expected = "a text such as /_base/name, or one `group: option`"
            yield Problem("defaults", message, path=("defaults", index), expected=expected)


def _hydras(entry: Any) -> str:
    """The config group of Hydra's own that an entry chooses from; empty where it does not."""
    keys = [key for key in entry if isinstance(key, str)] if isinstance(entry, Mapping) else []
    groups = [key.removeprefix("optional ").removeprefix("override ").strip().lstrip("/") for key in keys]
    return next((group for group in groups if hydra_keys.is_hydras(group)), "")


def _is_entry(entry: Any) -> bool:
    if isinstance(entry, str):
        return bool(entry)
    return isinstance(entry, Mapping) and len(entry) == 1 and all(_is_choice(choice) for choice in entry.values())


def _is_choice(choice: Any) -> bool:
    if isinstance(choice, tuple):
        return all(isinstance(option, str) for option in choice)
    return choice is None or isinstance(choice, str)
