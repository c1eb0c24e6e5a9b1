"""The differences of two batch files, by meaning."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hfspec.batch.document.loading import BATCH, is_batch_side, place_of
from hfspec.batch.document.values import parse
from hfspec.batch.filters import parsed
from hfspec.batch.job import max_errors, share
from hfspec.comparison.change import Change, changes
from hfspec.comparison.diff import Place, file_of
from hfspec.comparison.parts import account, hide_environment
from hfspec.errors import SpecError, UsageError
from hfspec.ir.frozen import FrozenDict, thaw
from hfspec.ir.problem import KeyPath
from hfspec.ir.tree import Tree
from hfspec.language import checking
from hfspec.language.reading import read_tree


def batch_diff(a: str, b: str | None = None, overrides: Sequence[str] = ()) -> tuple[Change, ...]:
    """The changes from ``a`` to ``b``; empty where both say the same. Artifacts and inputs are not read.

    Each is a batch file, also as ``FILE@REVISION`` of git. ``overrides`` are laid over both; without ``b`` the changes
    are those that they make in ``a``. Raises SpecError, UsageError where only one is a batch file, and WorldError.
    """
    for side in (a, a if b is None else b):
        if not is_batch_side(side):
            raise UsageError(f"{side} is not a batch file, as the other is; compare two of a kind")
    return changes(_account(a, () if b is None else overrides), _account(a if b is None else b, overrides))


def _account(side: str, overrides: Sequence[str]) -> FrozenDict:
    """The content of a batch file, defaults included, each meaning written one way."""
    with file_of(side) as (file, place):
        tree = read_tree(file, overrides, BATCH)
        if problems := checking.problems(tree, BATCH):
            raise SpecError(problems)
        document = parse(thaw(tree.value)).model_dump(mode="json", by_alias=True, exclude_none=True)
        document["artifact"] = _path(tree, ("artifact",), place)
        document["output"]["path"] = _path(tree, ("output", "path"), place)
        paths = document["input"]["paths"]
        document["input"]["paths"] = [_path(tree, ("input", "paths", index), place) for index in range(len(paths))]
    _put_plainly(document)
    hide_environment(document, tree)
    return account(document)


def _path(tree: Tree, path: KeyPath, place: Place) -> str:
    """The path from the current folder where it lies below that, so that two files name one place alike."""
    meant = place_of(tree, path, place)
    if "://" in meant or meant == "-":
        return meant
    whole, here = Path(os.path.abspath(meant)), Path.cwd()  # noqa: PTH100 - an artifact may be a link
    return (whole.relative_to(here) if whole.is_relative_to(here) else whole).as_posix()


def _put_plainly(document: dict[str, Any]) -> None:
    """One way to write each number and condition: 1% is 0.01, and ``=`` is ``==``."""
    source = document["input"]
    if "sample" in source:
        source["sample"] = share(source["sample"])
    if "where" in source and find_spec("pyarrow") is not None:
        source["where"] = str(parsed(source["where"]))
    if "max_errors" in document:
        most = max_errors(document["max_errors"])
        document["max_errors"] = str(most.count) if most.share is None else f"{100 * most.share:g}%"
