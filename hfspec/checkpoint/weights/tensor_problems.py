"""Problems of a checkpoint whose tensors do not fit its architecture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.weights.fit import Fit, Mismatch
from hfspec.checkpoint.weights.weight_files import listed
from hfspec.ir.problem import Problem
from hfspec.tasks.task import Task

AT_RANDOM = "the library would initialise what is missing at random, with only a warning"


def fit_problems(files: SourceFiles, fit: Fit, config: Any, task: Task, class_name: str) -> Iterator[Problem]:
    """The problems that keep the checkpoint from being run as ``class_name`` for the task."""
    yield from _missing(files, fit, task, class_name)
    for mismatch in fit.mismatched:
        yield _mismatched(files, mismatch, config, class_name)
    for message in fit.errors:
        yield files.problem("wrong-tensors", f"the library cannot load the checkpoint as {class_name}: {message}")


def fit_notes(fit: Fit, class_name: str, ignored: tuple[str, ...]) -> tuple[str, ...]:
    """Notes of the plan on tensors left over, or lacking without harm."""
    notes = []
    if fit.unexpected:
        notes.append(f"{class_name} does not use these tensors of the checkpoint: {listed(fit.unexpected)}.")
    if ignored:
        notes.append(f"The checkpoint lacks {listed(ignored)}, which the embedding does not depend on.")
    return tuple(notes)


def _missing(files: SourceFiles, fit: Fit, task: Task, class_name: str) -> Iterator[Problem]:
    if not fit.missing:
        return
    prefix = f"{fit.base_prefix}." if fit.base_prefix else ""
    in_base = [name for name in fit.missing if prefix and name.startswith(prefix)]
    if prefix and not in_base and task.head:
        message = f"the checkpoint has no {task.head} ({listed(fit.missing)}), which {class_name} needs"
        remedy = f"name a checkpoint that was trained for {task.name}"
    else:
        message = f"the checkpoint lacks tensors that {class_name} needs: {listed(fit.missing)}"
        remedy = "name a checkpoint that has them"
    yield files.problem("missing-tensors", f"{message}; {AT_RANDOM}", remedy=remedy)


def _mismatched(files: SourceFiles, mismatch: Mismatch, config: Any, class_name: str) -> Problem:
    checkpoint_shape, model_shape = mismatch.stored, mismatch.needed
    message = f"tensor {mismatch.name} has not the shape that {class_name} needs under config.json; {AT_RANDOM}"
    labels = getattr(config, "num_labels", None)
    remedy = ""
    if checkpoint_shape[1:] == model_shape[1:] and checkpoint_shape and model_shape[:1] == (labels,):
        remedy = f"config.json names {labels} labels (id2label), the checkpoint's head has {checkpoint_shape[0]}"
    elif (
        checkpoint_shape[1:] == model_shape[1:]
        and checkpoint_shape
        and model_shape[0] == getattr(config, "vocab_size", None)
    ):
        remedy = (
            f"config.json says a vocabulary of {model_shape[0]} (vocab_size), the checkpoint has {checkpoint_shape[0]}"
        )
    return files.problem(
        "wrong-shape", message, expected=str(list(model_shape)), found=str(list(checkpoint_shape)), remedy=remedy
    )
