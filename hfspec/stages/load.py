"""YAML text and overrides -> Tree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hfspec.ir.tree import Tree
from hfspec.language.kind import SPEC
from hfspec.language.reading import read_tree


def load(spec: Path, overrides: Sequence[str] = ()) -> Tree:
    """The spec composed with its defaults and the overrides, each value with its place; raises as read_tree."""
    return read_tree(spec, overrides, SPEC)
