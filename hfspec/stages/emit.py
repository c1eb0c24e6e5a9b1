"""A built folder completed and put in place: texts, manifest, trial run, then one atomic rename."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import hfspec
from hfspec.artifact.staging import put_in_place, settle
from hfspec.artifact.texts import generated
from hfspec.artifact.trial import Trial, probe, trial
from hfspec.artifact.writing import write_bytes
from hfspec.errors import SpecError
from hfspec.integrity.marking import marked
from hfspec.ir.artifact import MANIFEST_NAME, Artifact, FileRecord
from hfspec.ir.golden import Fault, apart, line
from hfspec.ir.pins import Reader
from hfspec.ir.plan import Plan
from hfspec.ir.problem import KeyPath, Problem

NO_RUN = "Mend the example or the settings, or compile with --no-run."
NO_PROBE = "Mend the checkpoint or the settings, give the spec an input_example that works, or compile with --no-run."
GOLDEN_REMEDY = (
    "Find out what changed (weights, settings, versions). Where the new answer is right, write it as the output,"
    " which `hfspec predict DIR --as-golden` prints, or allow for it with `tolerance`."
)


def emit(
    plan: Plan, files: Sequence[FileRecord], readers: Mapping[str, Reader], staging: Path, target: Path
) -> Artifact:
    """The artifact at ``target``, whole, or what was there before. ``readers``: by role, for a trial run of an artifact
    that refers to its weights.

    Raises SpecError when the plan says to run the predictor and it does not answer the input example, or answers a
    golden one otherwise than the spec says, with a problem for each of them, or, without examples, answers no plain
    input of its task; UsageError when the target must not be
    replaced; OSError for what the disk refuses.
    """
    contents = generated(plan, files)
    texts = [write_bytes(path, content, staging / path) for path, content in sorted(contents.items())]
    records = sorted([*files, *texts], key=lambda record: record.path)
    manifest = marked(plan.manifest(records, hfspec.__version__), staging)
    write_bytes(MANIFEST_NAME, manifest.to_bytes(), staging / MANIFEST_NAME)
    outcome = _tried(plan, readers, staging)
    settle(staging)
    put_in_place(staging, target)
    return Artifact(target, manifest, notes=(*plan.notes, *filter(None, (outcome.note,))))


def _tried(plan: Plan, readers: Mapping[str, Reader], staging: Path) -> Trial:
    """Run what the plan says to run."""
    if plan.run:
        return _try(plan, readers, staging)
    return _probe(plan, staging) if plan.probe else Trial()


def _try(plan: Plan, readers: Mapping[str, Reader], staging: Path) -> Trial:
    outcome = trial(staging, _weights(plan, readers), golden=plan.check_golden)
    if outcome.refusal:
        place: KeyPath = ("golden",) if plan.input_example is None else ("input_example",)
        message = f"The compiled predictor does not run: {outcome.refusal}"
        raise SpecError([Problem("example-fails", message, path=place, remedy=NO_RUN)])
    if outcome.faults:
        raise SpecError([_problem(fault) for fault in outcome.faults])
    return outcome


def _probe(plan: Plan, staging: Path) -> Trial:
    outcome = probe(staging, plan.memory_bytes)
    if outcome.faults:
        reasons = "; ".join(fault.reason for fault in outcome.faults)
        message = f"The compiled predictor answers no plain input of {plan.deployment.task}: {reasons}"
        raise SpecError([Problem("example-fails", message, path=("task",), remedy=NO_PROBE)])
    return outcome


def _problem(fault: Fault) -> Problem:
    if fault.golden is None:
        message = f"The compiled predictor does not answer the input example: {fault.reason}"
        return Problem("example-fails", message, path=("input_example",), remedy=NO_RUN)
    place: KeyPath = ("golden", fault.golden)
    if fault.reason:
        message = f"Golden example {fault.golden}: {fault.reason}"
        return Problem("example-fails", message, path=(*place, "input"), remedy=NO_RUN)
    first, *others = fault.differences
    message = f"The answer to golden example {fault.golden} differs from its output at {_places(fault.count)}."
    also = "; ".join(line(other, f"golden[{fault.golden}]", fault.tolerance) for other in others)
    return Problem(
        "golden-differs",
        f"{message} Also {also}." if also else message,
        path=(*place, "output", *first.path),
        expected=first.expected,
        found=apart(first, fault.tolerance),
        remedy=GOLDEN_REMEDY,
    )


def _places(count: int) -> str:
    return "one place" if count == 1 else f"{count} places"


def _weights(plan: Plan, readers: Mapping[str, Reader]) -> dict[str, Path]:
    """The folder of each role that pointers name, with their files in it: downloaded, since a trial run is offline."""
    folders = {}
    for pointer in plan.pointers:
        local = [(file, readers[pointer.role].fetch(file.path)) for file in pointer.files]
        file, place = local[0]
        folders[pointer.role] = place.parents[len(PurePosixPath(file.path).parts) - 1]
    return folders
