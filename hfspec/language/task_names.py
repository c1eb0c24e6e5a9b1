"""The task that a spec names, and the one that it means where it names none."""

from __future__ import annotations

from difflib import get_close_matches

from hfspec.ir.tree import Tree
from hfspec.tasks import table
from hfspec.tasks.libraries import LIBRARIES
from hfspec.tasks.task import Task

# Other names by which people know a task: those of model cards, of papers, of auto classes, of other servers.
OTHER_NAMES = {
    "text-classification": (
        "classification", "classifier", "sentiment", "sequence-classification", "seq-cls", "text-classifier",
        "intent-classification", "topic-classification", "toxicity-detection", "spam-detection", "emotion",
    ),
    "token-classification": (
        "entities", "entity-recognition", "named-entity-recognition", "pos", "pos-tagging", "tagging", "token-cls",
    ),
    "text-generation": ("causal-lm", "clm", "generate", "generation", "gpt", "language-modeling", "llm", "text-gen"),
    "text2text-generation": ("seq2seq", "seq2seq-lm", "seq-to-seq", "t5", "text2text", "text-to-text"),
    "summarization": ("summarisation", "summarise", "summarize", "summary"),
    "translation": ("mt", "machine-translation", "translate", "translator"),
    "question-answering": ("extractive-qa", "extractive-question-answering", "qa", "squad"),
    "table-question-answering": ("table-qa", "tapas", "tqa"),
    "zero-shot-classification": ("nli", "natural-language-inference", "zero-shot", "zero-shot-text-classification"),
    "fill-mask": ("masked-language-modeling", "masked-lm", "mlm"),
    "automatic-speech-recognition": (
        "asr", "audio-transcription", "speech-recognition", "speech-to-text", "stt", "transcribe", "transcription",
        "whisper",
    ),
    "audio-classification": ("sound-classification",),
    "image-classification": ("vision-classification",),
    "llm/v1/chat": ("chat", "chat-completion", "chat-completions", "chat/completions", "chatbot"),
    "llm/v1/completions": ("completion", "completions", "v1/completions"),
    "llm/v1/embeddings": ("v1/embeddings",),
    "feature-extraction": (
        "embed", "embedding", "embeddings", "sentence-embedding", "sentence-embeddings", "sentence-encoder",
        "text-embedding", "text-embeddings", "text-embeddings-inference", "vector", "vectors",
    ),
    "sentence-similarity": ("semantic-similarity", "semantic-textual-similarity", "similarity", "sts"),
    "sparse-embedding": ("sparse", "sparse-embeddings", "sparse-encoder", "splade"),
    "text-ranking": ("cross-encoder", "ranker", "ranking", "rerank", "reranker", "reranking"),
}  # fmt: skip
MEANT = {other: name for name, others in OTHER_NAMES.items() for other in others}


def task_of(tree: Tree) -> Task | None:
    """Find the task that a spec names.

    Args:
        tree: The spec.

    Returns:
        Its task, of the library that answers; None when it names none that works.
    """
    name = tree.at(("task",))
    libraries = (tree.at(("convert", "to")), tree.at(("library",)))
    tasks = (table.find(one, name) for one in libraries if isinstance(one, str) and isinstance(name, str))
    return next(filter(None, tasks), None)


def meant(text: str, library: str | None) -> str:
    """Find the task that another name means.

    Args:
        text: The name.
        library: Where to look for a name that is spelt alike; None: in all libraries.

    Returns:
        The task's name; empty when no task is meant.
    """
    plain = "-".join(text.strip().lower().replace("_", "-").split())
    searched = [library] if library is not None else list(LIBRARIES)
    names = [name for each in searched for name in table.names(each)]
    if plain in names:
        return plain
    if plain in MEANT and (library is None or MEANT[plain] in names):
        return MEANT[plain]
    close = get_close_matches(plain, [*names, *MEANT], n=1, cutoff=0.7)
    task = MEANT.get(close[0], close[0]) if close else ""
    return task if task in names else ""
