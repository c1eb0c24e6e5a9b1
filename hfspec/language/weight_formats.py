"""What a format of the model goes with: tasks of the library, and other keys of the spec."""

from __future__ import annotations

from collections.abc import Iterator

from hfspec.ir.problem import KeyPath, Problem, one_of
from hfspec.language.draft import Draft
from hfspec.tasks.libraries import LIBRARIES
from hfspec.tasks.weight_formats import ONNX, WEIGHT_FORMATS, WeightFormat

AT: KeyPath = ("format",)


def problems(document: Draft) -> Iterator[Problem]:
    """Check the key ``format`` against the rest of a document.

    Args:
        document: The document.

    Yields:
        A problem for each key that it does not go with.
    """
    row = WEIGHT_FORMATS.get(str(document.tree.at(AT)))
    if row is None or not row.exports:
        if document.has("quantization"):
            path: KeyPath = ("quantization",)
            message = "Weights are quantised as those of a graph, and this model stays as it is stored."
            remedy = f"Write `format: {ONNX}`, or leave out `quantization`."
            yield Problem("conflict", message, document.tree.origin(path), path, remedy=remedy)
        return
    yield from _task(document, row)
    if document.has("convert"):
        message = f"`convert` makes a model of another library, and `format: {row.name}` a graph for this one."
        yield Problem("conflict", message, document.tree.origin(AT), AT, remedy="Keep `convert` or `format`.")
    yield from _weights(document, row)
    yield from _runtime(document, row)


def _task(document: Draft, row: WeightFormat) -> Iterator[Problem]:
    tree, task = document.tree, document.task
    if task is None or task.name in row.offers(task.library):
        return
    offers = row.offers(task.library)
    others = [name for name in LIBRARIES if row.offers(name)]
    expected = one_of(offers) if offers else f"a model of {' or '.join(others)}"
    message = f"The task {task.name} of {task.library} cannot be answered by a model in {row.name}."
    remedy = "Leave out `format`, so that torch answers." if offers else "Leave out `format`."
    yield Problem("format", message, tree.origin(AT), AT, expected=expected, found=task.name, remedy=remedy)


def _weights(document: Draft, row: WeightFormat) -> Iterator[Problem]:
    tree = document.tree
    if tree.at(("save_mode",)) == "reference":
        path: KeyPath = ("save_mode",)
        message = f"A model in {row.name} is made when it is compiled, so that no source has it to refer to."
        yield Problem("conflict", message, tree.origin(path), path, remedy="Write `save_mode: full`.")
    if document.has("adapter") and not document.merges:
        path = ("adapter", "merge")
        message = f"A model in {row.name} takes no adapter beside it."
        yield Problem("conflict", message, tree.origin(path), path, remedy="Write `merge: true` for the adapter.")
    if document.dtype not in (None, "auto", *row.dtypes):
        path = ("dtype",)
        message = f"A model in {row.name} computes in {' or '.join(row.dtypes)}."
        expected, found = one_of(("auto", *row.dtypes)), document.dtype or ""
        remedy = f"Write `dtype: {row.dtypes[0]}`, or leave out `format`."
        yield Problem("conflict", message, tree.origin(path), path, expected=expected, found=found, remedy=remedy)
    if tree.at(("trust_remote_code",)):
        path = ("trust_remote_code",)
        message = f"A model of reviewed code cannot be made {row.name}: compile runs no code of a checkpoint."
        yield Problem("conflict", message, tree.origin(path), path, remedy="Leave out `format`.")


def _runtime(document: Draft, row: WeightFormat) -> Iterator[Problem]:
    tree = document.tree
    for name, usual in (("backend", "auto"), ("device_map", None)):
        path: KeyPath = ("runtime", name)
        if tree.at(path) not in (None, usual):
            message = f"`{name}` is for models that torch computes, and this one is {row.name}."
            yield Problem("dead-key", message, tree.origin(path), path, remedy="Remove it.")
    path = ("runtime", "device")
    if tree.at(path) not in (None, "auto", "cpu"):
        message = f"A model in {row.name} is computed on the CPU."
        found = str(tree.at(path))
        yield Problem(
            "conflict", message, tree.origin(path), path, expected="cpu or auto", found=found, remedy="Remove it."
        )
