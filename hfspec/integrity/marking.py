"""A manifest with the marks of the embedding space that its artifact gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hfspec.integrity import fingerprint
from hfspec.integrity.embedding_space import embedding_space
from hfspec.ir.artifact import Manifest
from hfspec.tasks.table import find


def marked(manifest: Manifest, folder: Path) -> Manifest:
    """Mark a manifest with its embedding space and fingerprint.

    Args:
        manifest: The manifest.
        folder: The artifact's folder.

    Returns:
        The manifest with both where the task gives embeddings and the weights are in ``folder``; else as it was.
    """
    task = find(manifest.deployment.library, manifest.deployment.task)
    if task is None or not task.embeds or manifest.pointers:
        return manifest
    with_space = replace(manifest, space=embedding_space(folder, manifest))
    dtype, space = manifest.deployment.computed_dtype, with_space.space
    digest = fingerprint.of_folder(folder, with_space, task, {}, dtype=dtype, space=space)
    return replace(with_space, fingerprint=digest)
