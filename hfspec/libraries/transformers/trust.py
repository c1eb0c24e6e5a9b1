"""The values that a manifest of a model of transformers must not have."""

from __future__ import annotations

from collections.abc import Iterator

from hfspec.ir.artifact import Manifest


def faults(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """The file and the fault of a class that would be called with the model's files and is no model."""
    name = manifest.deployment.model_class
    if not _may_be_run(name):
        yield "artifact.json", f"{name!r} as the model's class, which it is not"


def _may_be_run(name: str) -> bool:
    """Whether this is a model class of transformers, or no name that transformers has: another library's class."""
    import transformers

    kind = getattr(transformers, name, None)
    is_model = isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)
    return name.isidentifier() and (kind is None or is_model)
