"""The values that a manifest of a model of ONNX Runtime's generate() must not have."""

from __future__ import annotations

from collections.abc import Iterator

from hfspec.ir.artifact import Manifest


def faults(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """The file and the fault of an architecture that is no name, and of code."""
    name = manifest.deployment.model_class
    if not name.isidentifier():
        yield "artifact.json", f"{name!r} as the model's architecture, which it is not"
    if manifest.code:
        yield "artifact.json", "classes of reviewed code, which models of this library have none of"
