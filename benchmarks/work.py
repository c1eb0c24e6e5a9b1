"""The work that contenders do: a checkpoint, a task, settings and rows, the same for every contender."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import material

ROOT = Path("build/bench")
CHECKPOINTS = ROOT / "checkpoints"
LABELS = ["travel", "money", "food"]


@dataclass(frozen=True, slots=True)
class Work:
    """``settings``: what the spec's model_config holds and the library's pipeline is called with. ``rows``: so many
    inputs, made. ``library``: the spec's key; ``checkpoint``: a folder below CHECKPOINTS, None for the real MiniLM.
    """

    task: str
    checkpoint: str | None
    rows: Callable[[int], list[Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    library: str = "transformers"

    @property
    def model(self) -> Path:
        return material.minilm() if self.checkpoint is None else CHECKPOINTS / self.checkpoint


def _questions(count: int) -> list[dict[str, str]]:
    questions = material.texts(count, most=15, least=4, seed=1)
    contexts = material.texts(count, most=300, least=8)
    return [{"question": question, "context": context} for question, context in zip(questions, contexts, strict=True)]


def _masked(count: int) -> list[str]:
    return [f"{text} [MASK]" for text in material.texts(count)]


def _unlabelled(count: int) -> list[dict[str, Any]]:
    return [{"sequences": text, "candidate_labels": LABELS} for text in material.texts(count)]


GREEDY = {"max_new_tokens": 32, "do_sample": False}
WORK = {
    "classification": Work("text-classification", "classifier", material.texts),
    "embeddings": Work("feature-extraction", None, material.texts, library="sentence-transformers"),
    "generation": Work("text-generation", "gpt2", material.texts, {**GREEDY, "return_full_text": False}),
    "summarization": Work("summarization", "t5", material.texts, {**GREEDY, "num_beams": 1}),
    "translation": Work("translation_en_to_fr", "t5", material.texts, {**GREEDY, "num_beams": 1}),
    "question-answering": Work("question-answering", "answerer", _questions),
    "token-classification": Work("token-classification", "tagger", material.texts),
    "zero-shot": Work("zero-shot-classification", "entailment", _unlabelled),
    "fill-mask": Work("fill-mask", "masked", _masked),
    "audio": Work("automatic-speech-recognition", "wav2vec2", material.sounds),
    "tiny": Work("text-classification", "tiny", material.texts),
}
