"""The files of a checkpoint to those of another library's model, and the plan of an artifact of that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hfspec.checkpoint.spec_sources import Sources
from hfspec.ir.artifact import FileRecord
from hfspec.ir.plan import Converted, Plan
from hfspec.tasks.libraries import LIBRARIES


def convert(sources: Sources, plan: Plan, files: Sequence[FileRecord], folder: Path) -> Converted:
    """Convert a checkpoint.

    Args:
        sources: The spec and the files of its sources.
        plan: The plan of the checkpoint's files, with a conversion.
        files: Their records, as they were written under ``folder``.
        folder: A folder for all that the conversion writes.

    Returns:
        The plan of the converted model, as its library plans it.

    Raises:
        SpecError: Where the model cannot be made, or answers too much unlike the checkpoint.
    """
    conversion: Converted = LIBRARIES[sources.spec.answering].part("converting")(sources, plan, files, folder)
    return conversion
