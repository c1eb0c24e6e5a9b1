"""The export of an artifact, or a fleet, to a target's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hfspec import __version__
from hfspec.export.facts import facts_of
from hfspec.export.targets import TARGETS
from hfspec.export.writing import check_place, write

FLEET_TARGET = "rayserve"


def export(target: str, artifact: Path, output: Path, options: Any, *, overwrite: bool = False) -> tuple[str, ...]:
    """Write an artifact in the form that another tool deploys.

    Args:
        target: The name of a row of ``TARGETS``.
        artifact: The artifact's folder.
        output: The folder to make.
        options: The target's own ``Options``.
        overwrite: Whether an export that lies there is replaced.

    Returns:
        Remarks on the export, each a sentence. Whatever is raised, ``output`` is as it was.

    Raises:
        VerificationError: The artifact's bytes are not those that were compiled.
        UsageError: For what the target cannot express, options that cannot be, and a place that must stay.
        SourceError: Pip does not find the packages.
        StorageError: For what the disk refuses.
    """
    row = TARGETS[target]
    check_place(output, overwrite=overwrite)
    facts = facts_of(artifact)
    files = row.part("files")(facts, options)
    record = {"target": target, "artifact": facts.name, "digest": facts.manifest.digest, "hfspec": __version__}
    write(output, files, record, overwrite=overwrite)
    return tuple(row.part("notes")(facts, options))


def export_fleet(fleet: Path, output: Path, options: Any, *, overwrite: bool = False) -> tuple[str, ...]:
    """Write a fleet, or an artifact, in the form that a Ray cluster on Kubernetes deploys.

    Args:
        fleet: The fleet file, or the artifact's folder.
        output: The folder to make.
        options: ``Options`` of ``hfspec.export.rayserve``.
        overwrite: Whether an export that lies there is replaced.

    Returns:
        Remarks on the export, each a sentence. Whatever is raised, ``output`` is as it was.

    Raises:
        SpecError: With every problem of the fleet file.
        VerificationError: An artifact's bytes are not those that were compiled.
        UsageError: For what Ray Serve cannot express, options that cannot be, and a place that must stay.
        StorageError: For what the disk refuses.
    """
    from hfspec.serving.fleet.loading import FleetSource

    row = TARGETS[FLEET_TARGET]
    check_place(output, overwrite=overwrite)
    served = FleetSource((fleet,)).load()
    facts = {entry.name: facts_of(Path(entry.artifact)) for entry in served.models}
    name = fleet.absolute().stem if fleet.is_file() else served.models[0].name
    files = row.part("files")(served, facts, name, options)
    digests = {model: each.manifest.digest for model, each in facts.items()}
    record = {"target": row.name, "fleet": name, "digests": digests, "hfspec": __version__}
    write(output, files, record, overwrite=overwrite)
    return tuple(row.part("notes")(served, name))
