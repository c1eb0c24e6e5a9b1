"""A feature extractor, image processor, processor or tokenizer of transformers, from the artifact's folders.

Loading runs no code of the artifact but reviewed code, and uses no network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hfspec.ir.frozen import thaw
from hfspec.library_calls.quiet import quiet
from hfspec.runtime.loading.reading import reading
from hfspec.runtime.loading.request import LoadRequest
from hfspec.tasks.task import PROCESSED, PROCESSOR

FOLDER = "components"
AUTO_CLASSES = {
    "tokenizer": "AutoTokenizer",
    "feature_extractor": "AutoFeatureExtractor",
    "image_processor": "AutoImageProcessor",
    PROCESSOR: "AutoProcessor",
}


def load_component(request: LoadRequest, name: str, folder: Path | None = None, **settings: Any) -> Any:
    """A component, the spec's own before the model's.

    Args:
        request: the settled arguments of the load.
        name: one of AUTO_CLASSES.
        folder: where the model brings it, the model's folder by default.
        settings: arguments of ``from_pretrained``, which yield to the spec's options.

    Raises:
        StorageError: transformers cannot make it from its files.
    """
    import transformers

    source = request.folder / FOLDER / name if brings(request, name) else folder or request.model_folder
    options = {**settings, **thaw(request.manifest.deployment.options.get(name, {}))}
    reviewed = request.code.get(name)
    with quiet(), reading(source, name.replace("_", " ")):
        if reviewed is not None:
            return reviewed.from_pretrained(str(source), local_files_only=True, **options)
        auto = getattr(transformers, AUTO_CLASSES[name])
        return auto.from_pretrained(str(source), local_files_only=True, trust_remote_code=False, **options)


def load_processor_parts(request: LoadRequest) -> dict[str, Any]:
    """A feature extractor and a tokenizer by their names: those of the spec's own processor, which holds them, where it
    brings one.

    Raises StorageError.
    """
    if not brings(request, PROCESSOR):
        return {name: load_component(request, name) for name in PROCESSED}
    processor = load_component(request, PROCESSOR)
    parts = {
        name: load_component(request, name) if brings(request, name) else getattr(processor, name) for name in PROCESSED
    }
    return {**parts, PROCESSOR: processor}


def brings(request: LoadRequest, name: str) -> bool:
    """Whether the spec brought this component. ``components/`` holds copies of the model's own too, for MLflow."""
    return f"{FOLDER}/{name}" in {source.role for source in request.manifest.sources}
