"""The pipeline of transformers that MLflow's own ``transformers`` flavor can make of an artifact, where there is one.

MLflow reads the model from ``model/``, and tokenizer and processors from ``components/<name>/`` and nowhere else, so
that their small files are there a second time; weights never are.
"""

from __future__ import annotations

from collections.abc import Iterator

from hfspec.checkpoint.checkpoint import Checkpoint
from hfspec.checkpoint.spec_sources import Sources
from hfspec.ir.plan import CopyFile, Pipeline
from hfspec.sources.selection import COMPONENTS
from hfspec.tasks.libraries import LIBRARIES

# Tasks whose pipeline MLflow names by another task.
PIPELINE_TASKS = {"llm/v1/chat": "text-generation", "llm/v1/completions": "text-generation"}


def native_pipeline(sources: Sources, checkpoint: Checkpoint) -> Pipeline | None:
    """The pipeline over the files of the artifact alone: none where the library has no such pipeline, nor for weights
    that lie elsewhere, adapters beside the model, reviewed code, and components with options.
    """
    spec, task = sources.spec, sources.task
    beside = checkpoint.adapter is not None and checkpoint.merging is None
    changed = any(component.options for _, component in spec.components.given()) or "processor" in sources.components
    has_pipelines, is_code = LIBRARIES[task.library].has_pipelines, bool(checkpoint.code.classes)
    if not has_pipelines or spec.save_mode == "reference" or beside or changed or is_code:
        return None
    if checkpoint.folder or not set(task.components) <= set(checkpoint.components):
        return None
    from transformers.pipelines import PIPELINE_REGISTRY

    name = PIPELINE_TASKS.get(task.name, task.name)
    listed = PIPELINE_REGISTRY.supported_tasks.get(name)
    if listed is None:
        return None
    kind = listed["impl"]  # the class, or where it is
    return Pipeline(name, getattr(kind, "__name__", "") or str(kind).rpartition(".")[2], task.components)


def pipeline_steps(sources: Sources, pipeline: Pipeline | None) -> Iterator[CopyFile]:
    """The files of the model's own components where MLflow looks for them."""
    for name in pipeline.components if pipeline is not None else ():
        if name in sources.components:
            continue
        patterns = [pattern for _, pattern in COMPONENTS[name]]
        for file in sources.model.pin.files:
            if any(pattern.fullmatch(file.path) for pattern in patterns):
                yield CopyFile(f"components/{name}/{file.path}", "model", file.path, file.size, file.sha256)
