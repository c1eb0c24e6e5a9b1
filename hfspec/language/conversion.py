"""Whether what a spec says goes together with the conversion that it asks for."""

from __future__ import annotations

from collections.abc import Iterator

from hfspec.ir.problem import KeyPath, Problem, one_of
from hfspec.language.draft import Draft
from hfspec.tasks import table
from hfspec.tasks.libraries import CONVERTED, CONVERTIBLE, LIBRARIES

PATH: KeyPath = ("convert",)
# Keys at odds with it -> what is said and done about them.
AT_ODDS: dict[tuple[str, ...], tuple[str, str]] = {
    ("dtype",): (
        "`dtype` casts the checkpoint's weights, and `convert` has a precision of its own.",
        "Remove `dtype`.",
    ),
    ("max_shard_size",): ("The converted weights are one file.", "Remove `max_shard_size`."),
    ("trust_remote_code",): (
        "The model builder runs no code of a checkpoint's own.",
        "Convert a checkpoint whose architecture transformers has, or remove `convert`.",
    ),
    ("allow_architecture_mismatch",): (
        "The model builder goes by the architecture that config.json names.",
        "Remove `allow_architecture_mismatch`, or `convert`.",
    ),
    ("runtime", "backend"): ("The converted model is run by its own library.", "Remove `backend`."),
    ("runtime", "compute_dtype"): ("The converted model computes in its own precision.", "Remove `compute_dtype`."),
}
SAYS_NOTHING: dict[tuple[str, ...], str | bool] = {("dtype",): "auto", ("trust_remote_code",): False}


def problems(draft: Draft) -> Iterator[Problem]:
    """Check what a spec says beside ``convert``.

    Args:
        draft: The spec, as its rules read it.

    Returns:
        Every problem.
    """
    if not draft.has("convert"):
        return
    if draft.library != CONVERTIBLE:
        if draft.library in LIBRARIES:
            yield _of_another_library(draft, draft.library)
        return
    if draft.task is not None and draft.task.library != CONVERTED == draft.tree.at(("convert", "to")):
        message = f"The library {CONVERTED} has no task {draft.task_name!r}."
        yield _problem(draft, ("task",), message, "Remove `convert`.", one_of(table.names(CONVERTED)))
    yield from _at_odds(draft)
    device = draft.tree.at(("runtime", "device"))
    if isinstance(device, str) and device not in ("auto", "cpu"):
        message = "The model is made to run on a CPU."
        yield _problem(draft, ("runtime", "device"), message, "Remove `device`, or `convert`.")


def _of_another_library(draft: Draft, library: str | None) -> Problem:
    verb = "are what it makes" if library == CONVERTED else "are not among them"
    message = f"`convert` takes checkpoints of {CONVERTIBLE}; models of {library} {verb}."
    return Problem("dead-key", message, draft.tree.origin(PATH), PATH, remedy="Remove it.")


def _at_odds(draft: Draft) -> Iterator[Problem]:
    for path, (message, remedy) in AT_ODDS.items():
        if draft.has(*path) and draft.tree.at(path) not in (SAYS_NOTHING.get(path, ...), ()):
            yield _problem(draft, path, message, remedy)
    if draft.has("adapter") and not draft.merges:
        message = "The converted model has no adapters beside it."
        yield _problem(draft, ("adapter",), message, "Write `merge: true` in `adapter`, which merges it first.")
    if draft.tree.at(("save_mode",)) == "reference":
        message = "The converted weights are new weights, which no reference to the model's source can stand for."
        yield _problem(draft, ("save_mode",), message, "Keep `convert` with `save_mode: full`.")


def _problem(draft: Draft, path: KeyPath, message: str, remedy: str, expected: str = "") -> Problem:
    return Problem("conflict", message, draft.tree.origin(path), path, expected=expected, remedy=remedy)
