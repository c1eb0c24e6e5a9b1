"""The objects of transformers behind a predictor, for users of the library."""

from __future__ import annotations

from typing import Any

from hfspec.errors import UsageError
from hfspec.ir.dtypes import torch_dtype
from hfspec.library_calls.quiet import quiet
from hfspec.runtime.loading.shared_tokenizer import library_tokenizer
from hfspec.runtime.runner import Runner

COMPONENTS = ("tokenizer", "feature_extractor", "image_processor", "processor")
REMOVED = frozenset({"summarization", "text2text-generation", "translation", "question-answering", "conversational"})


def components(runner: Runner) -> dict[str, Any]:
    """The objects by the names that ``transformers.pipeline`` has for them, with ``task`` and ``dtype``; the model
    alone where sentence-transformers itself answers.
    """
    request, own = runner.request, runner.loaded
    if own.model is None:
        return {"model": runner.sentence_model}
    task = request.task.name if _has_pipeline(request.task.name) else request.manifest.deployment.task_as_written
    objects = {name: library_tokenizer(getattr(own, name)) for name in COMPONENTS}
    objects = {name: component for name, component in objects.items() if component is not None}
    return {"task": task, "model": own.model, **objects, "dtype": torch_dtype(request.dtype)}


def pipeline(runner: Runner) -> Any:
    """The pipeline of transformers over these objects; raises UsageError where it has none for the task."""
    task = runner.request.task.name
    if not _has_pipeline(task):
        raise UsageError(_no_pipeline(task))
    import transformers

    with quiet():
        return transformers.pipeline(**components(runner), device=runner.request.device)


def _has_pipeline(task: str) -> bool:
    from transformers.pipelines import PIPELINE_REGISTRY

    return task in PIPELINE_REGISTRY.supported_tasks


def _no_pipeline(task: str) -> str:
    import transformers

    why = "was removed in transformers 5" if task in REMOVED else "is not one of its pipelines"
    return (
        f"transformers {transformers.__version__} has no pipeline for the task {task}, which {why}; use predict(), or"
        " the model and its components from components()."
    )
