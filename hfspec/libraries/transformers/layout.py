"""The files of a checkpoint of transformers."""

from __future__ import annotations

from collections.abc import Sequence

from hfspec.ir.pins import Reader
from hfspec.libraries.sentence_transformers import layout as modules
from hfspec.sources.selection import Selection, select_checkpoint
from hfspec.tasks.task import Task


def select(names: Sequence[str], reader: Reader, location: str, task: Task, *, has_graph: bool = False) -> Selection:
    """The model's files; with those of its modules where the task is over sentence vectors.

    Raises SourceError where there is no config or no weights.
    """
    if task.kind:
        return modules.select(names, reader, location, task, has_graph=has_graph)
    return select_checkpoint(names, reader, location, has_graph=has_graph)
