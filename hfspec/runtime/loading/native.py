"""The library's own objects behind a predictor, for those who use them by themselves."""

from __future__ import annotations

from typing import Any

from hfspec.errors import StorageError, UsageError
from hfspec.ir.dtypes import torch_dtype
from hfspec.library_calls.quiet import quiet
from hfspec.runtime.loading import adapter, parts
from hfspec.runtime.runner import Place

ORDER = ("model", "tokenizer", "feature_extractor", "image_processor", "processor")
SENTENCE_CLASSES = {"dense": "SentenceTransformer", "cross-encoder": "CrossEncoder", "sparse": "SparseEncoder"}
REMOVED = frozenset({"summarization", "text2text-generation", "translation", "question-answering", "conversational"})


def components(place: Place) -> dict[str, Any]:
    """The objects by the names that ``transformers.pipeline`` has for them, with ``task`` and ``dtype``; of
    sentence-transformers ``model`` alone, which is the whole pipeline.
    """
    if place.task.library == "sentence-transformers" or "model" not in place.loaded:
        return {"model": sentence_model(place)}
    deployment = place.manifest.deployment
    task = place.task.name if _has_pipeline(place) else deployment.task_as_written
    found = {name: place.loaded[name] for name in ORDER if name in place.loaded}
    return {"task": task, **found, "dtype": torch_dtype(place.dtype)}


def pipeline(place: Place) -> Any:
    """The library's pipeline over these objects; raises UsageError where the library has none."""
    if place.task.library == "sentence-transformers":
        kind = SENTENCE_CLASSES[place.task.kind]
        raise UsageError(f"sentence-transformers has no pipelines; components()['model'] is the {kind} itself.")
    if not _has_pipeline(place):
        raise UsageError(_no_pipeline(place.task.name))
    import transformers

    with quiet():
        return transformers.pipeline(**components(place), device=place.device)


def sentence_model(place: Place) -> Any:
    """The model as sentence-transformers loads it from the artifact, with the spec's own tokenizer; loaded once.

    Raises StorageError when the library cannot load it.
    """
    if "sentence_model" not in place.loaded:
        with place.unchanged():
            place.loaded["sentence_model"] = _sentence_model(place)
    return place.loaded["sentence_model"]


def _sentence_model(place: Place) -> Any:
    with quiet():
        import sentence_transformers

        try:
            loaded = getattr(sentence_transformers, SENTENCE_CLASSES[place.task.kind])(
                str(place.model),
                device=place.device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"dtype": torch_dtype(place.dtype), "use_safetensors": True},
            )
        except Exception as error:  # over a broken file the library may raise anything
            raise StorageError(f"sentence_transformers could not load model/: {error}") from error
    if (place.folder / "components" / "tokenizer").is_dir():
        if "tokenizer" not in place.loaded:
            parts.tokenizer(place)
        _give(loaded[0], place.loaded["tokenizer"])
    with quiet():
        adapter.applied(place, loaded[0].auto_model)
    return loaded.eval()


def _give(module: Any, tokenizer: Any) -> None:
    """The Transformer module of sentence-transformers 6 has its tokenizer as its processor, older ones as it is."""
    setattr(module, "processor" if hasattr(module, "processor") else "tokenizer", tokenizer)


def _has_pipeline(place: Place) -> bool:
    from transformers.pipelines import PIPELINE_REGISTRY

    return place.task.library == "transformers" and place.task.name in PIPELINE_REGISTRY.supported_tasks


def _no_pipeline(task: str) -> str:
    import transformers

    why = "was removed in transformers 5" if task in REMOVED else "is not one of its pipelines"
    return (
        f"transformers {transformers.__version__} has no pipeline for the task {task}, which {why}; use predict(), or"
        " the model and its components from components()."
    )
