"""A batch file and overrides -> a job."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hfspec.batch.document.values import parse
from hfspec.batch.engines.table import CLUSTER_KEYS, ENGINES, able
from hfspec.batch.job import Job
from hfspec.comparison.diff import LOCK, file_of
from hfspec.errors import HfspecError, SpecError, UsageError
from hfspec.integrity.verification import read_manifest
from hfspec.ir.frozen import thaw
from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.tree import Tree
from hfspec.language import checking, scaling
from hfspec.language.kind import DocumentKind
from hfspec.language.parts import BATCH_KEYS, NEEDED
from hfspec.language.reading import read_tree
from hfspec.language.rules import mandatory
from hfspec.language.yaml12 import MAX_BYTES, read_yaml


def _schema() -> dict[str, Any]:
    from hfspec.batch.document.schema import composed_schema

    return composed_schema()


def _rules(tree: Tree) -> Iterator[Problem]:
    """Problems beyond the file's shape."""
    yield from mandatory(tree, tree.value)
    yield from scaling.problems(tree, (), tree.value)
    yield from _engine(tree)
    path: KeyPath = ("input", "where")
    where = tree.at(path)
    if isinstance(where, str) and find_spec("pyarrow") is not None:
        from hfspec.batch.filters import parsed

        try:
            parsed(where)
        except UsageError as error:
            yield Problem("wrong-value", f"The condition cannot be read: {error}.", tree.origin(path), path)
    for name, column in dict(tree.at(("input", "map")) or {}).items():
        if not isinstance(column, str):
            place: KeyPath = ("input", "map", name)
            yield Problem("wrong-type", "A column is named by a text.", tree.origin(place), place)


def _engine(tree: Tree) -> Iterator[Problem]:
    """Problems of cluster keys that the engine does not read."""
    name = tree.value.get("engine", "local")
    for key in CLUSTER_KEYS if name in ENGINES else ():
        if tree.value.get(key) is not None and key not in ENGINES[name].keys:
            message = f"The key {key} is for a cluster, and the engine is {name}."
            remedy = f"Write `engine: {able(key)}`, or remove `{key}`."
            yield Problem("dead-key", message, tree.origin((key,)), (key,), remedy=remedy)


BATCH = DocumentKind(
    noun="batch file",
    beginning="Write `artifact:`, `input:` and `output:` (docs/batch.md).",
    schema=_schema,
    definition="Batch",
    rules=_rules,
    reference="${output.path}",
    free=(("params",), ("model_config",), ("input", "map")),
    resolvers=frozenset({"oc.env", "oc.decode"}),
)


def is_batch(path: Path) -> bool:
    """Whether a file has ``artifact`` and one of ``input`` and ``output`` at its top level, and none of the keys that a
    spec needs. False for what cannot be read.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        keys = set(read_yaml(data, "", BATCH).value)
    except (OSError, SpecError):
        return False
    return len(keys & BATCH_KEYS) > 1 and not keys & set(NEEDED)


def is_batch_side(side: str) -> bool:
    """Whether a side of a comparison is a batch file, also as ``FILE@REVISION``; raises UsageError as diff does."""
    if Path(side).is_dir() or LOCK in side or not (Path(side).exists() or "@" in side):
        return False
    with file_of(side) as (file, _):
        return is_batch(file)


def load_batch(path: Path, overrides: Sequence[str] = ()) -> Job:
    """The job in a batch file.

    Args:
        path: The file.
        overrides: Hydra's overrides, ``key=value``.

    Returns:
        The job, with its paths from the folder of the file.

    Raises:
        SpecError: With every problem found.
        UsageError: The file cannot be read.
    """
    tree = read_tree(path, overrides, BATCH)
    if faults := checking.problems(tree, BATCH, _artifact(tree)):
        raise SpecError(faults)
    document = thaw(tree.value)
    document["artifact"] = place_of(tree, ("artifact",))
    document["output"]["path"] = place_of(tree, ("output", "path"))
    paths = document["input"]["paths"]
    document["input"]["paths"] = [place_of(tree, ("input", "paths", index)) for index in range(len(paths))]
    return parse(document).job()


def problems(path: Path, overrides: Sequence[str] = ()) -> tuple[Problem, ...]:
    """Everything that is wrong with a batch file; raises UsageError when it cannot be read."""
    try:
        load_batch(path, overrides)
    except SpecError as error:
        return error.problems
    return ()


def _artifact(tree: Tree) -> Iterator[Problem]:
    path: KeyPath = ("artifact",)
    if not isinstance(tree.at(path), str):
        return
    try:
        read_manifest(Path(place_of(tree, path)))
    except HfspecError as error:
        yield Problem("not-an-artifact", f"{error}.", tree.origin(path), path)


def place_of(tree: Tree, path: KeyPath, located: Callable[[Path], Path] = lambda folder: folder) -> str:
    """The place at a key path of a batch file: a path from the folder of the file that names it, in an override from
    the current one; a URL as it is. ``located``: the folder of a file -> where the reader knows that folder to be.
    """
    value, origin = str(tree.at(path)), tree.origin(path)
    if "://" in value or value == "-" or origin.override:
        return value
    return os.path.normpath(located(Path(origin.file or tree.file).parent) / Path(value).expanduser())
