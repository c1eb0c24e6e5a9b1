"""YAML text and overrides -> Tree, for a document of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hfspec.errors import UsageError
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.tree import Tree
from hfspec.language import interpolation
from hfspec.language.documents import read_document
from hfspec.language.kind import DocumentKind
from hfspec.language.yaml12 import Document


def read_tree(file: Path, overrides: Sequence[str], kind: DocumentKind) -> Tree:
    """Compose a document with its defaults and overrides, each value with its place.

    Hydra is imported only for a document that needs it; the other route gives the same tree.

    Args:
        file: The file.
        overrides: Hydra's overrides, ``key=value``.
        kind: The kind of document: a spec, or another.

    Returns:
        The document.

    Raises:
        SpecError: The text cannot be taken as it is; with everything that is wrong.
        UsageError: The file cannot be read, or ``overrides`` is one text.
    """
    if isinstance(overrides, str):
        raise UsageError(f"overrides is a list of texts: write [{overrides!r}].")
    document = read_document(file, str(file), kind)
    if _needs_hydra(document, overrides):
        from hfspec.language.composition import compose

        return compose(file, overrides, document, kind).tree()
    return Tree(str(file), FrozenDict(document.value), document.origins, document.texts)


def _needs_hydra(document: Document, overrides: Sequence[str]) -> bool:
    layered = bool(overrides or document.problems) or "defaults" in document.value
    return layered or any(True for _ in interpolation.texts(document.value))
