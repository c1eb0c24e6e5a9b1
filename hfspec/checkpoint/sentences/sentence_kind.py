"""Which kind of sentence-transformers model a checkpoint is: dense, sparse, cross-encoder, multi-vector.

The library loads any of them as any other, with new random parts where some are lacking; here that is refused.
"""

from __future__ import annotations

from typing import Any

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.formats.module_kinds import MODULE_KINDS
from hfspec.formats.sentence_modules import STATED
from hfspec.tasks import table
from hfspec.tasks.task import Task

# The library's class, as the checkpoint states it -> kind.
CLASSES = {
    "SentenceTransformer": "dense",
    "SparseEncoder": "sparse",
    "CrossEncoder": "cross-encoder",
    "MultiVectorEncoder": "multi-vector",
}
WORDS = {
    "dense": "a model of dense embeddings",
    "sparse": "a sparse encoder",
    "cross-encoder": "a cross-encoder",
    "multi-vector": "a multi-vector encoder",
}


def refuse_other_kinds(files: SourceFiles, task: Task) -> None:
    """Raises SpecError when the checkpoint is of another kind than the task needs."""
    kind, why = _kind(files)
    if not kind or kind == task.kind:
        return
    able = [
        name
        for name in table.names(task.library)
        if (other := table.find(task.library, name)) is not None and other.kind == kind
    ]
    remedy = f"name a checkpoint of that kind, or use the task {' or '.join(able)}" if able else ""
    raise files.refusal(
        "task-not-possible",
        f"the checkpoint is {WORDS[kind]} ({why}), and {task.name} needs {WORDS[task.kind]}",
        at=("task",),
        found=task.name,
        remedy=remedy or "name a checkpoint of that kind",
    )


def _kind(files: SourceFiles) -> tuple[str, str]:
    """The checkpoint's kind and what says so; empty where nothing does."""
    modules = [module.rpartition(".")[2] for module in _types(files)]
    for module in modules:
        if (kind := MODULE_KINDS.get(module)) is not None and kind.only_in is not None:
            return kind.only_in, module
    model_type = files.json(STATED).get("model_type")
    if model_type in CLASSES:
        return CLASSES[model_type], f"{STATED} says {model_type}"
    if "Pooling" in modules:
        return "dense", "Pooling"
    head = next((name for name in _architectures(files) if name.endswith("ForSequenceClassification")), "")
    return ("cross-encoder", head) if head else ("", "")


def _types(files: SourceFiles) -> list[str]:
    entries = files.any_json("modules.json") if files.has("modules.json") else []
    modules = entries if isinstance(entries, list) else []
    return [str(entry.get("type")) for entry in modules if isinstance(entry, dict)]


def _architectures(files: SourceFiles) -> list[str]:
    architectures: Any = files.json("config.json").get("architectures") or []
    return [str(name) for name in architectures] if isinstance(architectures, list) else []
