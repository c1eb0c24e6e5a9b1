"""Files to files whose model is in the format that the spec asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hfspec.ir.artifact import FileRecord
from hfspec.ir.plan import Plan
from hfspec.ir.progress import Progress
from hfspec.tasks.weight_formats import WEIGHT_FORMATS


def export(
    plan: Plan, files: tuple[FileRecord, ...], staging: Path, progress: Progress
) -> tuple[Plan, Sequence[FileRecord]]:
    """The plan and the built files under ``staging``, as they are for a format that takes weights as they are.

    Raises SpecError where the model cannot be made in the format, or answers otherwise in it.
    """
    row = WEIGHT_FORMATS[plan.deployment.format]
    if not row.exports:
        return plan, files
    progress.start(f"{row.name}: the model's graph", None)
    try:
        result: tuple[Plan, Sequence[FileRecord]] = row.export(plan, files, staging)
        return result
    finally:
        progress.finish()
