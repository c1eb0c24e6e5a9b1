"""The table of tasks: (library, name) -> where the task is defined. Closed, lazy, and read rather than registered."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType

from hfspec.ir.lazy import named
from hfspec.tasks.libraries import LIBRARIES
from hfspec.tasks.task import Task

TASKS = MappingProxyType(
    {
        ("transformers", "text-classification"): "hfspec.tasks.text_classification:TASK",
        ("transformers", "text-generation"): "hfspec.tasks.text_generation:TASK",
        ("transformers", "summarization"): "hfspec.tasks.seq2seq:SUMMARIZATION",
        ("transformers", "text2text-generation"): "hfspec.tasks.seq2seq:TEXT2TEXT",
        ("transformers", "translation"): "hfspec.tasks.seq2seq:TRANSLATION",
        ("transformers", "question-answering"): "hfspec.tasks.question_answering:TASK",
        ("transformers", "token-classification"): "hfspec.tasks.token_classification:TASK",
        ("transformers", "zero-shot-classification"): "hfspec.tasks.zero_shot_classification:TASK",
        ("transformers", "fill-mask"): "hfspec.tasks.fill_mask:TASK",
        ("transformers", "feature-extraction"): "hfspec.tasks.token_features:TASK",
        ("transformers", "table-question-answering"): "hfspec.tasks.table_question_answering:TASK",
        ("transformers", "automatic-speech-recognition"): "hfspec.tasks.speech_recognition:TASK",
        ("transformers", "audio-classification"): "hfspec.tasks.audio_classification:TASK",
        ("transformers", "image-classification"): "hfspec.tasks.image_classification:TASK",
        ("transformers", "conversational"): "hfspec.tasks.chat:CONVERSATIONAL",
        ("transformers", "llm/v1/chat"): "hfspec.tasks.chat:CHAT",
        ("transformers", "llm/v1/completions"): "hfspec.tasks.chat:COMPLETIONS",
        ("transformers", "llm/v1/embeddings"): "hfspec.tasks.embeddings:TRANSFORMERS",
        ("sentence-transformers", "feature-extraction"): "hfspec.tasks.sentence_embedding:TASK",
        ("sentence-transformers", "llm/v1/embeddings"): "hfspec.tasks.embeddings:SENTENCE_TRANSFORMERS",
        ("sentence-transformers", "sentence-similarity"): "hfspec.tasks.sentence_similarity:TASK",
        ("sentence-transformers", "sparse-embedding"): "hfspec.tasks.sparse_embedding:TASK",
        ("sentence-transformers", "text-ranking"): "hfspec.tasks.text_ranking:TASK",
        ("onnxruntime-genai", "text-generation"): "hfspec.tasks.genai:TEXT",
        ("onnxruntime-genai", "llm/v1/chat"): "hfspec.tasks.genai:CHAT",
        ("onnxruntime-genai", "llm/v1/completions"): "hfspec.tasks.genai:COMPLETIONS",
    }
)
ALIASES = MappingProxyType(
    {
        ("transformers", "sentiment-analysis"): "text-classification",
        ("transformers", "ner"): "token-classification",
        ("sentence-transformers", "sentence-embedding"): "feature-extraction",
    }
)


@cache
def canonical(library: str, name: str) -> str:
    """The name without its alias: ``ner`` is ``token-classification``, ``translation_en_to_fr`` is ``translation``."""
    patterns = LIBRARIES[library].task_patterns if library in LIBRARIES else {}
    match = next((task for task, pattern in patterns.items() if pattern.fullmatch(name)), None)
    return match or ALIASES.get((library, name), name)


@cache
def find(library: str, name: str) -> Task | None:
    """The task of this name or alias, None when this library has none of that name yet."""
    place = TASKS.get((library, canonical(library, name)))
    if place is None:
        return None
    task: Task = named(place)
    return task


def names(library: str) -> tuple[str, ...]:
    """Every name that works, aliases included, sorted."""
    return tuple(
        sorted(name for table in (TASKS, ALIASES) for lib, name in table if lib == library and find(lib, name))
    )


def libraries(name: str) -> tuple[str, ...]:
    """The libraries that have a task of this name or alias."""
    return tuple(library for library in LIBRARIES if find(library, name) is not None)
