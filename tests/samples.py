"""Each task of the registry with a tiny checkpoint that does it, and rows that it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.runtime.chats import CHATS
from tests.runtime.images import picture
from tests.runtime.sounds import tone
from tests.runtime.texts import MIXED, shuffled

TEXTS = [*shuffled(MIXED), "the quick brown fox jumps over the lazy dog and " * 4]
LONG = [*TEXTS, "my name is Sarah and I live in London. " * 20]  # more than the models read at once
SPOKEN = [text for text in TEXTS if text.strip()]
TRANSFORMERS, ST, GENAI = "transformers", "sentence-transformers", "onnxruntime-genai"


@dataclass(frozen=True)
class Sample:
    """A checkpoint that does a task, rows that it answers (made when needed), and settings it cannot do without."""

    checkpoint: str
    rows: Callable[[], list[Any]]
    settings: dict[str, Any] = field(default_factory=dict)


def texts() -> list[str]:
    return TEXTS


def long_texts() -> list[str]:
    return LONG


def spoken() -> list[str]:
    return SPOKEN


def of_two(first: str, second: str) -> Callable[[], list[dict[str, str]]]:
    """Rows of two texts, of every length beside each other."""
    return lambda: [{first: one, second: other} for one, other in zip(SPOKEN, SPOKEN[::-1], strict=True)]


def questions() -> list[dict[str, str]]:
    contexts = [*SPOKEN, "The house was sold in spring. Nobody in the village knew who had bought it. " * 15]
    return [{"question": f"who knew {text[:12]}?", "context": text} for text in contexts]


def tables() -> list[dict[str, Any]]:
    few = {"actors": ["brad pitt", "george clooney"], "age": ["56", None]}
    many = {"city": [f"london {number}" for number in range(6)], "people": [str(number) for number in range(6)]}
    return [
        {"query": query, "table": cells} for query in ("how old?", "how many are in the city?") for cells in (many, few)
    ]


def labelled() -> list[dict[str, Any]]:
    return [
        {"sequences": text, "candidate_labels": ["travel", "a very sad film", "dancing"][: 1 + place % 3]}
        for place, text in enumerate(SPOKEN)
    ]


def sounds() -> list[Any]:
    return [tone(220 + 40 * place, seconds, noise=0.1) for place, seconds in enumerate((0.3, 2.0, 0.3, 1.1, 3.0))]


def long_sounds() -> list[Any]:
    return [*sounds()[:3], tone(330, 33.0, noise=0.1)]


def requests() -> list[dict[str, Any]]:
    """Each with settings of its own."""
    return [
        {
            "messages": messages,
            "max_tokens": 3 + place % 3,
            "temperature": place % 2 * 1.3,
            "seed": place,
            "n": 1 + place % 2,
        }
        for place, messages in enumerate(CHATS)
    ]


def prompts() -> list[dict[str, Any]]:
    own = [{"max_tokens": 3 + place % 3, "temperature": place % 2 * 1.3, "seed": place} for place in range(len(SPOKEN))]
    return [{"prompt": [text, "a"][: 1 + place % 2], **own[place]} for place, text in enumerate(SPOKEN)]


def inputs() -> list[dict[str, Any]]:
    return [{"input": [text, "a"][: 1 + place % 2]} for place, text in enumerate(SPOKEN)]


def masked() -> list[str]:
    return [f"{text[:150]} [MASK]" for text in TEXTS]


def pictures() -> list[Any]:
    return [picture(place, size) for place, size in enumerate([(40, 30), (8, 50), (64, 64)] * 2)]


def into_two_languages() -> list[dict[str, str]]:
    return [{"text": text, "tgt_lang": ("fra_Latn", "spa_Latn")[place % 2]} for place, text in enumerate(SPOKEN)]


def conversations() -> list[Any]:
    return list(CHATS)


SAMPLES = {
    (TRANSFORMERS, "text-classification"): Sample("bert-sentiment", texts),
    (TRANSFORMERS, "text-generation"): Sample("gpt2", texts),
    (TRANSFORMERS, "summarization"): Sample("bart", spoken),
    (TRANSFORMERS, "text2text-generation"): Sample("t5", spoken),
    (TRANSFORMERS, "translation"): Sample("nllb", into_two_languages, {"src_lang": "eng_Latn", "tgt_lang": "fra_Latn"}),
    (TRANSFORMERS, "question-answering"): Sample("roberta-squad2", questions),
    (TRANSFORMERS, "token-classification"): Sample("bert-ner", long_texts),
    (TRANSFORMERS, "zero-shot-classification"): Sample("bart-mnli", labelled),
    (TRANSFORMERS, "fill-mask"): Sample("distilbert-mlm", masked),
    (TRANSFORMERS, "feature-extraction"): Sample("distilbert-mlm", texts),
    (TRANSFORMERS, "table-question-answering"): Sample("tapas-wtq", tables),
    (TRANSFORMERS, "automatic-speech-recognition"): Sample("whisper", sounds),
    (TRANSFORMERS, "audio-classification"): Sample("wav2vec2-keywords", sounds),
    (TRANSFORMERS, "image-classification"): Sample("vit", pictures),
    (TRANSFORMERS, "conversational"): Sample("llama-chat", conversations),
    (TRANSFORMERS, "llm/v1/chat"): Sample("qwen-chat", requests),
    (TRANSFORMERS, "llm/v1/completions"): Sample("gpt2", prompts),
    (TRANSFORMERS, "llm/v1/embeddings"): Sample("distilbert-mlm", inputs),
    (ST, "feature-extraction"): Sample("minilm-like", long_texts),
    (ST, "llm/v1/embeddings"): Sample("minilm-like", inputs),
    (ST, "sentence-similarity"): Sample("minilm-like", of_two("source_sentence", "sentence")),
    (ST, "sparse-embedding"): Sample("splade", texts),
    (ST, "text-ranking"): Sample("ce-msmarco", of_two("query", "document")),
    (GENAI, "text-generation"): Sample("genai-llama", texts, {"max_new_tokens": 7}),
    (GENAI, "llm/v1/chat"): Sample("genai-qwen2", requests),
    (GENAI, "llm/v1/completions"): Sample("genai-llama", prompts),
}
