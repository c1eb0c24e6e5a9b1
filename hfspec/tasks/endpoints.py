"""The protocols that a server offers models by, and which of them fit which tasks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

Task = tuple[str, str]

# Protocol -> the tasks, by library and canonical name, that it can ask; None for all.
TASKS: Mapping[str, frozenset[Task] | None] = MappingProxyType(
    {
        "openai": frozenset(
            [
                ("transformers", "text-generation"),
                ("transformers", "conversational"),
                ("transformers", "llm/v1/chat"),
                ("transformers", "llm/v1/completions"),
                ("transformers", "llm/v1/embeddings"),
                ("transformers", "automatic-speech-recognition"),
                ("sentence-transformers", "feature-extraction"),
                ("sentence-transformers", "llm/v1/embeddings"),
                ("onnxruntime-genai", "text-generation"),
                ("onnxruntime-genai", "llm/v1/chat"),
                ("onnxruntime-genai", "llm/v1/completions"),
            ]
        ),
        "rerank": frozenset([("sentence-transformers", "text-ranking")]),
        "tei": frozenset(
            [
                ("transformers", "text-classification"),
                ("transformers", "llm/v1/embeddings"),
                ("sentence-transformers", "feature-extraction"),
                ("sentence-transformers", "llm/v1/embeddings"),
                ("sentence-transformers", "sparse-embedding"),
                ("sentence-transformers", "text-ranking"),
            ]
        ),
        "v2": None,
        "mlflow": None,
        "hfspec": None,
    }
)


def fits(endpoint: str, library: str, task: str) -> bool:
    """Whether a protocol can ask a task, which is named canonically."""
    tasks = TASKS[endpoint]
    return tasks is None or (library, task) in tasks


@cache
def fitting(library: str, task: str) -> tuple[str, ...]:
    """Every protocol that can ask a task."""
    return tuple(endpoint for endpoint in TASKS if fits(endpoint, library, task))
