"""Passwords and tokens that a spec holds: no error, since a program cannot be sure, but never without a word."""

from __future__ import annotations

from collections.abc import Iterator

from hfspec.ir.problem import dotted
from hfspec.ir.tree import Tree
from hfspec.redaction import HIDDEN, redacted, texts, tokens, without_passwords


def spec_notes(tree: Tree) -> Iterator[str]:
    """Find secrets in a spec.

    Args:
        tree: The spec.

    Returns:
        A sentence for each value that looks like a token, and for each password in an address.
    """
    for path, text in texts(tree.value):
        place = redacted(f"{tree.origin(path)}: {dotted(path)}")
        for _, kind, start in tokens(text):
            yield (
                f"{place} holds what looks like {kind} ({start}): whoever has the artifact can read it. Take it out of"
                " the spec, and revoke it where it was shared."
            )
        if without_passwords(text) != text:
            effect = f"the artifact has {HIDDEN} in its place" if path[0] == "metadata" else "the artifact carries it"
            yield f"{place} holds a password in an address: {effect}. Take it out of the spec."
