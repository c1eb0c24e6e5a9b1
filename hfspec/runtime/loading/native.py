"""The library's own objects behind a predictor, for those who use them by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hfspec.errors import StorageError, UsageError
from hfspec.ir.dtypes import torch_dtype
from hfspec.library_calls.quiet import quiet
from hfspec.runtime.loading import adapter
from hfspec.runtime.loading.components import brings
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.loading.shared_tokenizer import library_tokenizer
from hfspec.runtime.loading.tokenizer import load_tokenizer
from hfspec.tasks.libraries import LIBRARIES

if TYPE_CHECKING:
    from hfspec.runtime.runner import Runner

COMPONENTS = ("tokenizer", "feature_extractor", "image_processor", "processor")
SENTENCE_CLASSES = {"dense": "SentenceTransformer", "cross-encoder": "CrossEncoder", "sparse": "SparseEncoder"}
REMOVED = frozenset({"summarization", "text2text-generation", "translation", "question-answering", "conversational"})


def components(runner: Runner) -> dict[str, Any]:
    """The objects by the names that ``transformers.pipeline`` has for them, with ``task`` and ``dtype``; of
    sentence-transformers ``model`` alone, which is the whole pipeline.
    """
    request, loaded = runner.request, runner.loaded
    if not LIBRARIES[request.task.library].has_pipelines or loaded.model is None:
        return {"model": runner.sentence_model}
    task = request.task.name if _has_pipeline(request) else request.manifest.deployment.task_as_written
    found = {name: library_tokenizer(getattr(loaded, name)) for name in COMPONENTS}
    found = {name: component for name, component in found.items() if component is not None}
    return {"task": task, "model": loaded.model, **found, "dtype": torch_dtype(request.dtype)}


def pipeline(runner: Runner) -> Any:
    """The library's pipeline over these objects; raises UsageError where the library has none."""
    request = runner.request
    if not LIBRARIES[request.task.library].has_pipelines:
        kind = SENTENCE_CLASSES[request.task.kind]
        raise UsageError(f"sentence-transformers has no pipelines; components()['model'] is the {kind} itself.")
    if not _has_pipeline(request):
        raise UsageError(_no_pipeline(request.task.name))
    import transformers

    with quiet():
        return transformers.pipeline(**components(runner), device=request.device)


def load_sentence_model(request: LoadRequest, tokenizer: Any = None) -> Any:
    """The model as sentence-transformers loads it from the artifact, with the spec's own tokenizer.

    Args:
        request: what the load was asked for.
        tokenizer: the spec's own, where it is loaded already.

    Raises:
        StorageError: the library cannot load it.
    """
    with request.unchanged():
        loaded = _read_sentence_model(request)
        if brings(request, "tokenizer"):
            own = load_tokenizer(request) if tokenizer is None else tokenizer
            _set_tokenizer(loaded[0], library_tokenizer(own))
        with quiet():
            adapter.applied(request, loaded[0].auto_model)
    return loaded.eval()


def _read_sentence_model(request: LoadRequest) -> Any:
    with quiet():
        import sentence_transformers

        try:
            return getattr(sentence_transformers, SENTENCE_CLASSES[request.task.kind])(
                str(request.model_folder),
                device=request.device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"dtype": torch_dtype(request.dtype), "use_safetensors": True},
            )
        except Exception as error:  # over a broken file the library may raise anything
            raise StorageError(f"sentence_transformers could not load model/: {error}") from error


def _set_tokenizer(module: Any, tokenizer: Any) -> None:
    """The Transformer module of sentence-transformers 6 has its tokenizer as its processor, older ones as it is."""
    setattr(module, "processor" if hasattr(module, "processor") else "tokenizer", tokenizer)


def _has_pipeline(request: LoadRequest) -> bool:
    from transformers.pipelines import PIPELINE_REGISTRY

    return LIBRARIES[request.task.library].has_pipelines and request.task.name in PIPELINE_REGISTRY.supported_tasks


def _no_pipeline(task: str) -> str:
    import transformers

    why = "was removed in transformers 5" if task in REMOVED else "is not one of its pipelines"
    return (
        f"transformers {transformers.__version__} has no pipeline for the task {task}, which {why}; use predict(), or"
        " the model and its components from components()."
    )
