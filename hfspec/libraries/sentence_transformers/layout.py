"""The files of a checkpoint of sentence-transformers: the model's, and those in the folders that modules.json names."""

from __future__ import annotations

from collections.abc import Sequence

from hfspec.errors import SourceError
from hfspec.ir.pins import Reader
from hfspec.sources.selection import MODULES, Selection, module_folders, select_checkpoint
from hfspec.tasks.task import Task


def select(
    names: Sequence[str],
    reader: Reader,
    location: str,
    task: Task,  # noqa: ARG001 - as it is called
    *,
    has_graph: bool = False,
) -> Selection:
    """The files of the model and of its modules.

    Raises SourceError where there is no config or no weights, or modules.json is no list of modules.
    """
    return select_checkpoint(names, reader, location, _folders(names, reader, location), has_graph=has_graph)


def _folders(names: Sequence[str], reader: Reader, location: str) -> tuple[str, ...]:
    if MODULES not in names:
        return ("",)
    try:
        return module_folders(reader.small(MODULES).read_bytes())
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"{location}: {MODULES} does not list modules as sentence-transformers does: {error}."
        ) from error
