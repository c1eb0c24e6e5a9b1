"""YAML text and overrides -> Tree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hfspec.errors import UsageError
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.tree import Tree
from hfspec.language import interpolation
from hfspec.language.documents import read_document


def load(spec: Path, overrides: Sequence[str] = ()) -> Tree:
    """The spec composed with its defaults and the overrides, each value with its place.

    Raises SpecError with what is wrong with the text, and UsageError when the file cannot be read or
    ``overrides`` is one text. Hydra is imported only for a spec that needs it; the other route gives the same tree.
    """
    if isinstance(overrides, str):
        raise UsageError(f"overrides is a list of texts: write [{overrides!r}].")
    document = read_document(spec, str(spec))
    if overrides or "defaults" in document.value or any(True for _ in interpolation.texts(document.value)):
        from hfspec.language.composition import compose

        return compose(spec, overrides, document).tree()
    return Tree(str(spec), FrozenDict(document.value), document.origins, document.texts)
