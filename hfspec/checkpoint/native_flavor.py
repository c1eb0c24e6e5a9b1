"""The object of a library that MLflow's own flavor of it can make of an artifact, where there is one.

The ``transformers`` flavor reads the model from ``model/``, and tokenizer and processors from ``components/<name>/``
and nowhere else, so that their small files are there a second time. The ``sentence_transformers`` flavor reads a folder
of its own, whose modules.json leads to ``model/``. Weights are never there twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from hfspec.checkpoint.checkpoint import Checkpoint
from hfspec.checkpoint.spec_sources import Sources
from hfspec.formats.sentence_modules import STATED
from hfspec.ir.plan import CopyFile, Flavor, WriteBytes
from hfspec.sources.selection import COMPONENTS
from hfspec.tasks.libraries import LIBRARIES
from hfspec.tasks.weight_formats import WEIGHT_FORMATS

# Tasks whose pipeline MLflow names by another task.
PIPELINE_TASKS = {"llm/v1/chat": "text-generation", "llm/v1/completions": "text-generation"}
SENTENCE_FOLDER = "model.sentence_transformer/"  # where MLflow looks
LINKED = "hfspec.runtime.sentences.linked_module.LinkedModule"
POOLING = "sentence_transformers.models.Pooling"


def native_flavor(sources: Sources, checkpoint: Checkpoint) -> Flavor | None:
    """The flavor whose object answers from the files of the artifact alone: none where the library has no such object,
    nor for a model that is a graph, adapters beside the model, reviewed code, and components that the flavor cannot
    give it.
    """
    beside = checkpoint.adapter is not None and checkpoint.merging is None
    if beside or checkpoint.code.classes or WEIGHT_FORMATS[sources.spec.format].exports:
        return None
    if sources.task.kind == "dense":
        return _sentence_flavor(sources, checkpoint)
    return _pipeline(sources, checkpoint) if LIBRARIES[sources.task.library].has_pipelines else None


def native_steps(sources: Sources, checkpoint: Checkpoint, flavor: Flavor | None) -> Iterator[CopyFile | WriteBytes]:
    """The files that MLflow looks for beside ``model/``."""
    if flavor is not None and flavor.name == "sentence_transformers":
        yield from _sentence_steps(sources, checkpoint)
    for name in flavor.components if flavor is not None else ():
        if name in sources.components:
            continue
        patterns = [pattern for _, pattern in COMPONENTS[name]]
        for file in sources.model.pin.files:
            if any(pattern.fullmatch(file.path) for pattern in patterns):
                yield CopyFile(f"components/{name}/{file.path}", "model", file.path, file.size, file.sha256)


def _pipeline(sources: Sources, checkpoint: Checkpoint) -> Flavor | None:
    spec, task = sources.spec, sources.task
    has_own_options = (
        any(component.options for _, component in spec.components.given()) or "processor" in sources.components
    )
    if has_own_options or checkpoint.folder or not set(task.components) <= set(checkpoint.components):
        return None
    from transformers.pipelines import PIPELINE_REGISTRY

    name = PIPELINE_TASKS.get(task.name, task.name)
    pipeline_row = PIPELINE_REGISTRY.supported_tasks.get(name)
    if pipeline_row is None:
        return None
    kind = pipeline_row["impl"]  # the class, or where it is
    class_name = getattr(kind, "__name__", "") or str(kind).rpartition(".")[2]
    return Flavor("transformers", name, class_name, task.components)


def _sentence_flavor(sources: Sources, checkpoint: Checkpoint) -> Flavor | None:
    """None also for a tokenizer of the spec's own, and where pooling is not stated and the width is not known."""
    is_complete = bool(checkpoint.modules) or isinstance(_width(checkpoint), int)
    if any(True for _ in sources.spec.components.given()) or not is_complete:
        return None
    return Flavor("sentence_transformers", sources.task.name, "SentenceTransformer", ())


def _sentence_steps(sources: Sources, checkpoint: Checkpoint) -> Iterator[CopyFile | WriteBytes]:
    model = sources.model
    if model.has("modules.json"):
        entries = [{**entry, "type": LINKED} for entry in model.any_json("modules.json")]
    else:
        pooling = _default_pooling(checkpoint)
        yield WriteBytes(f"{SENTENCE_FOLDER}1_Pooling/config.json", _json(pooling))
        kinds = (("", LINKED), ("1_Pooling", POOLING))
        entries = [{"idx": idx, "name": str(idx), "path": path, "type": kind} for idx, (path, kind) in enumerate(kinds)]
    yield WriteBytes(f"{SENTENCE_FOLDER}modules.json", _json(entries))
    if model.has(STATED):
        file = model.file(STATED)
        yield CopyFile(f"{SENTENCE_FOLDER}{STATED}", "model", STATED, file.size, file.sha256)


def _default_pooling(checkpoint: Checkpoint) -> dict[str, object]:
    """As sentence-transformers pools where nothing says how: the mean, of causal language models the last token."""
    config = checkpoint.library_config
    architecture = (getattr(config, "architectures", None) or [""])[0]
    causal = architecture.endswith("ForCausalLM") and getattr(config, "is_causal", True)
    flags = {"pooling_mode_lasttoken": bool(causal), "pooling_mode_mean_tokens": not causal}
    return {"word_embedding_dimension": _width(checkpoint), **flags}


def _width(checkpoint: Checkpoint) -> object:
    return getattr(checkpoint.library_config, "hidden_size", None)


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
