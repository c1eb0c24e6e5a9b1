"""A built folder completed and put in place: texts, manifest, trial run, then one atomic rename."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import hfspec
from hfspec.artifact.staging import put_in_place, settle
from hfspec.artifact.texts import generated
from hfspec.artifact.trial import trial_fault
from hfspec.artifact.writing import write_bytes
from hfspec.checkpoint.embedding_space import embedding_space
from hfspec.errors import SpecError
from hfspec.ir.artifact import MANIFEST_NAME, Artifact, FileRecord, Manifest
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.plan import Plan
from hfspec.ir.problem import Problem
from hfspec.runtime.sentences import fingerprint
from hfspec.tasks.table import find


def emit(plan: Plan, files: Sequence[FileRecord], staging: Path, target: Path) -> Artifact:
    """The artifact at ``target``, whole, or what was there before.

    Raises SpecError, at ``input_example``, when the plan says to run the predictor and it does not answer; UsageError
    when the target must not be replaced; OSError for what the disk refuses.
    """
    contents = generated(plan, files)
    written = [write_bytes(path, content, staging / path) for path, content in sorted(contents.items())]
    manifest = _marked(_manifest(plan, sorted([*files, *written], key=lambda record: record.path)), staging)
    write_bytes(MANIFEST_NAME, manifest.to_bytes(), staging / MANIFEST_NAME)
    if plan.run:
        _try(staging)
    settle(staging)
    put_in_place(staging, target)
    return Artifact(target, manifest)


def _manifest(plan: Plan, files: Sequence[FileRecord]) -> Manifest:
    return Manifest(
        name=plan.name,
        spec_digest=plan.spec_digest,
        sources=plan.sources,
        deployment=plan.deployment,
        signature=plan.signature,
        files=tuple(files),
        versions=plan.versions,
        made_by=FrozenDict({"hfspec": hfspec.__version__}),
        metadata=plan.metadata,
    )


def _marked(manifest: Manifest, staging: Path) -> Manifest:
    """With the fingerprint of the embedding space, where the task gives embeddings."""
    task = find(manifest.deployment.library, manifest.deployment.task)
    if task is None or not task.embeds:
        return manifest
    marked = replace(manifest, space=embedding_space(staging, manifest))
    return replace(marked, fingerprint=fingerprint.of_artifact(staging, marked, task, {}))


def _try(staging: Path) -> None:
    fault = trial_fault(staging)
    if fault:
        raise SpecError(
            (
                Problem(
                    "example-fails",
                    f"the compiled predictor does not answer the input example: {fault}",
                    path=("input_example",),
                    remedy="mend the example or the settings, or compile with --no-run",
                ),
            )
        )
