"""An artifact out of MLflow's registry or store: verified, whole or not at all."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hfspec.errors import StorageError, UsageError, WorldError
from hfspec.integrity.verification import verify_files
from hfspec.interop.mlflow.server import address, asked, library
from hfspec.ir.artifact import MANIFEST_NAME, Artifact
from hfspec.redaction import redacted

FORMS = "models:/NAME/3, models:/NAME@alias, models:/m-…, runs:/RUN/PATH"


def pull(uri: str, output: Path, tracking_uri: str | None = None) -> Artifact:
    """Download an artifact from MLflow and verify it.

    Args:
        uri: The model as MLflow names it: ``models:/NAME@alias``, ``models:/NAME/3``, ``models:/m-…``, ``runs:/…``.
        output: The folder to make; it must not be there.
        tracking_uri: The tracking server; by default that of MLflow's own settings.

    Returns:
        The artifact. Whatever is raised, ``output`` is not there.

    Raises:
        UsageError: For what is no such name, a folder that is there, and a model that hfspec did not make.
        WorldError: The server refuses or goes away.
        StorageError: For what the disk refuses.
        VerificationError: The bytes are not those that were compiled.
    """
    if not re.match(r"(?:models|runs):/[^/]", uri):
        raise UsageError(f"{redacted(uri)} is not a model of MLflow; give one of {FORMS}")
    if output.exists() or output.is_symlink():
        raise UsageError(f"{output} exists; choose another folder, or remove it")
    mlflow = library()
    try:
        output.absolute().parent.mkdir(parents=True, exist_ok=True)
        partial = Path(mkdtemp(prefix=f".{output.name}.", dir=output.absolute().parent))
    except OSError as error:
        raise StorageError(f"{output} cannot be made: {error.strerror}.") from error
    try:
        folder = _downloaded(mlflow, uri, partial, tracking_uri)
        manifest = verify_files(folder)
        folder.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Artifact(output, manifest)


def _downloaded(mlflow: Any, uri: str, partial: Path, tracking_uri: str | None) -> Path:
    from mlflow.artifacts import download_artifacts

    server = address(mlflow, tracking_uri)
    with asked(server):
        registry = tracking_uri or mlflow.get_registry_uri()
        download_artifacts(artifact_uri=uri, dst_path=str(partial), tracking_uri=server, registry_uri=registry)
    manifests = sorted(partial.rglob(MANIFEST_NAME), key=lambda place: len(place.parts))
    if manifests:
        return manifests[0].parent
    if any(partial.rglob("MLmodel")):
        raise UsageError(
            f"{uri} is no artifact of hfspec; a spec with `model: {{mlflow: {uri}}}` compiles what the flavors"
            " transformers and sentence_transformers logged"
        )
    raise WorldError(f"MLflow at {redacted(server)} has no files of a model at {uri}.")
