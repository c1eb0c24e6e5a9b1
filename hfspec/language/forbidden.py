"""Keys and values that no document and no override may hold, whatever the schema says."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from hfspec.ir.problem import KeyPath, Problem
from hfspec.language.kind import SPEC, DocumentKind
from hfspec.language.yaml12 import MAX_INTEGER, QUOTE_TEXT

INSTANTIATION = frozenset({"_target_", "_partial_", "_recursive_", "_convert_", "_args_"})


def faults(value: Any, kind: DocumentKind = SPEC, path: KeyPath = ()) -> Iterator[Problem]:
    """Check that nothing would be instantiated, and that every value is one that JSON has.

    Args:
        value: A value of the document.
        kind: What kind of document it is.
        path: Where the value stands.

    Returns:
        The problems, still without a place.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _key_faults(key, kind, (*path, str(key)))
            yield from faults(item, kind, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from faults(item, kind, (*path, index))
    elif message := _value_fault(value):
        yield Problem("not-json", message, path=path, found=str(value)[:80], remedy=QUOTE_TEXT)


def _key_faults(key: Any, kind: DocumentKind, path: KeyPath) -> Iterator[Problem]:
    if not isinstance(key, str):
        yield Problem("key-type", "A key must be text.", path=path, found=str(key), remedy=f'Write "{key}".')
    elif key in INSTANTIATION:
        message = f"`{key}` is not allowed: nothing in a {kind.noun} is ever instantiated or imported by name."
        yield Problem("forbidden-key", message, path=path, remedy="Remove it.")


def _value_fault(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "The number is not one that JSON can hold."
    if isinstance(value, int) and not isinstance(value, bool) and not -MAX_INTEGER <= value < MAX_INTEGER:
        return "The number does not fit into 64 bits."
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= character <= "\udfff" for character in value)):
        return "The text holds a NUL or half a character."
    return ""
