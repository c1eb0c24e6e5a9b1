"""The labels that config.json names, where the task answers with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.formats.label_names import names_faults, numbers_faults
from hfspec.ir.problem import Problem
from hfspec.tasks.task import Task

LABELLED = ("SequenceClassification", "TokenClassification", "ImageClassification", "AudioClassification")
REMEDY = "write the labels of the model into config.json, by number from 0 on and with a text for each"


def answers_labels(task: Task) -> bool:
    """Whether the task answers with labels of the model's own."""
    return task.auto_class.endswith(LABELLED)


def label_problems(files: SourceFiles, folder: str, task: Task, raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Labels without which, or with which, no answer could be given."""
    if not answers_labels(task):
        return
    id2label = raw.get("id2label")
    faults = list(names_faults(id2label))
    if task.needed_label and isinstance(id2label, Mapping):
        faults += numbers_faults(raw.get("label2id"), len(id2label))
    for message, value in faults:
        yield files.problem("broken-checkpoint", f"{folder}config.json: {message}", found=value, remedy=REMEDY)
