"""Entries that no manifest of a graph may have."""

from __future__ import annotations

from collections.abc import Iterator

from hfspec.ir.artifact import Manifest


def faults(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """An architecture that is no name, code, or weights that lie elsewhere."""
    name = manifest.deployment.model_class
    if not name.isidentifier():
        yield "artifact.json", f"{name!r} as the model's architecture, which it is not"
    if manifest.code:
        yield "artifact.json", "classes of reviewed code, which a graph has none of"
    if manifest.pointers:
        yield "artifact.json", "weights that lie elsewhere, which a graph has none of"
