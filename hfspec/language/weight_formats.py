"""The rules of a model's format: the tasks and the other keys of the spec that go with it."""

from __future__ import annotations

from collections.abc import Iterator

from hfspec.ir.problem import KeyPath, Problem, one_of
from hfspec.language.draft import Draft
from hfspec.tasks.libraries import LIBRARIES
from hfspec.tasks.weight_formats import ONNX, WEIGHT_FORMATS, WeightFormat

AT: KeyPath = ("format",)
FILE: KeyPath = ("model", "file")


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
        if document.tree.at(FILE) is not None:
            message = "`file` names a graph, and this model is not answered by one."
            remedy = f"Write `format: {ONNX}`, or remove it."
            yield Problem("conflict", message, document.tree.origin(FILE), FILE, remedy=remedy)
        return
    yield from _task(document, row)
    yield from _quantization(document, row)
    yield from _own_graph(document)
    yield from _calibration(document)
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


def _quantization(document: Draft, row: WeightFormat) -> Iterator[Problem]:
    task, path = document.task, ("quantization",)
    if task is None or task.name not in row.offers(task.library) or not row.is_by_transformers(task):
        return
    if document.has("quantization"):
        message = f"The graphs of {task.name} stay in float32."
        yield Problem("conflict", message, document.tree.origin(path), path, remedy="Remove `quantization`.")


def _calibration(document: Draft) -> Iterator[Problem]:
    path: KeyPath = ("quantization", "calibration")
    if document.tree.at(("quantization", "method")) == "static-int8" and document.tree.at(path) is None:
        message = "The ranges of static-int8 are those of examples, and there are none."
        remedy = "Write `calibration:` with a file of inputs, or take `method: dynamic-int8`."
        yield Problem("conflict", message, document.tree.origin(path), path, remedy=remedy)


def _own_graph(document: Draft) -> Iterator[Problem]:
    """The problems of a spec with a graph of the source's own."""
    tree, is_own = document.tree, document.tree.at(FILE) is not None
    path: KeyPath = ("quantization", "method")
    method = tree.at(path)
    if is_own and method not in (None, "stored"):
        message = "The source's own graph is taken as it is, and not quantised."
        remedy = "Write `method: stored` to say how far a quantised graph may be from torch, or remove `file`."
        yield Problem("conflict", message, tree.origin(path), path, remedy=remedy)
    if not is_own and method == "stored":
        message = "`stored` is about a graph that the source has already, and compile makes this one."
        yield Problem("conflict", message, tree.origin(path), path, remedy="Name the graph by `file` under `model`.")
    if is_own and document.has("adapter"):
        path = ("adapter",)
        message = "The source's own graph is taken as it is, without an adapter."
        yield Problem("conflict", message, tree.origin(path), path, remedy="Remove `file` or `adapter`.")


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
        expected, dtype = one_of(("auto", *row.dtypes)), document.dtype or ""
        remedy = f"Write `dtype: {row.dtypes[0]}`, or leave out `format`."
        yield Problem("conflict", message, tree.origin(path), path, expected=expected, found=dtype, remedy=remedy)
    if tree.at(("trust_remote_code",)):
        path = ("trust_remote_code",)
        message = f"A model of reviewed code cannot be made {row.name}: compile runs no code of a checkpoint."
        yield Problem("conflict", message, tree.origin(path), path, remedy="Leave out `format`.")


def _runtime(document: Draft, row: WeightFormat) -> Iterator[Problem]:
    tree = document.tree
    for name, usual in (("backend", "auto"), ("device_map", None), ("compute_dtype", None)):
        path: KeyPath = ("runtime", name)
        if tree.at(path) not in (None, usual):
            message = f"`{name}` is for models that torch computes, and this one is {row.name}."
            yield Problem("dead-key", message, tree.origin(path), path, remedy="Remove it.")
    path = ("runtime", "device")
    if tree.at(path) not in (None, "auto", "cpu"):
        message = f"A model in {row.name} is computed on the CPU."
        device = str(tree.at(path))
        yield Problem(
            "conflict", message, tree.origin(path), path, expected="cpu or auto", found=device, remedy="Remove it."
        )
