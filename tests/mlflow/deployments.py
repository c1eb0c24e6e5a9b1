"""One deployment a task of the registry, with every form of input that its documentation names."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hfspec.tasks import table
from tests.runtime import images, sounds
from tests.samples import GENAI, SAMPLES, ST


@dataclass(frozen=True)
class Deployment:
    """A spec over a tiny checkpoint. ``example`` is its input_example; ``forms`` are other inputs, made when needed;
    ``chosen`` are params that a caller may give, ``settings`` what load may be given instead of model_config's.
    """

    task: str
    checkpoint: str
    example: Any
    forms: Callable[[], list[Any]]
    library: str = "transformers"
    model_config: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    chosen: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.library}-{self.task}".replace("/", "-")

    def spec(self, source: Path) -> dict[str, Any]:
        keys = {"input_example": self.example, "model_config": self.model_config, "signature": {"params": self.params}}
        return {"library": self.library, "task": self.task, "model": {"path": str(source)}, **keys}


def texts(name: str = "text") -> Callable[[], list[Any]]:
    """Every form of two texts, and of one; in the last the column is one of several."""
    two = ["a fine film", "5"]
    return lambda: [
        two[0],
        two,
        [],
        {name: two[0]},
        {name: two},
        [{name: text} for text in two],
        np.array(two),
        np.array(two, dtype=object)[:, None],
        pd.Series(two),
        pd.DataFrame({"any name": two}),
        pd.DataFrame({"id": ["x", "y"], name: two}, index=[7, 9]),
    ]


def rows(*given: dict[str, Any]) -> Callable[[], list[Any]]:
    """Every form of rows of several columns."""
    return lambda: [given[0], list(given), pd.DataFrame(list(given)), pd.DataFrame(list(given)).assign(id=range(2))]


def pairs(first: str, second: str) -> Callable[[], list[Any]]:
    """Rows of two texts, alone and in columns, and in two-column arrays."""
    two = [["a fine film", "a dull one"], ["what?", "nothing"]]
    named = [dict(zip((first, second), pair, strict=True)) for pair in two]
    return lambda: [*rows(*named)(), [tuple(pair) for pair in two], np.array(two), {first: ["a", "b"], second: "c"}]


def files(name: str, contents: Callable[[], list[bytes]]) -> Callable[[], list[Any]]:
    """Every form of two files."""

    def forms() -> list[Any]:
        two = contents()
        in_base64 = [base64.b64encode(content).decode() for content in two]
        return [
            two[0],
            two,
            in_base64,
            {name: two[0]},
            {name: in_base64[1]},
            [{"bytes": two[0]}, in_base64[1]],
            pd.Series(two),
            pd.DataFrame({"any name": in_base64}),
            pd.DataFrame({"id": [1, 2], name: two}),
        ]

    return forms


def some_sounds() -> list[bytes]:
    return [sounds.encoded([sounds.tone(pitch, 0.3)], rate=sounds.RATE) for pitch in (330, 550)]


def arrays_too(forms: Callable[[], list[Any]]) -> Callable[[], list[Any]]:
    return lambda: [*forms(), sounds.tone(440, 0.3), [sounds.tone(440, 0.3), sounds.tone(220, 0.2)]]


def some_pictures() -> list[bytes]:
    return [images.file_of(images.picture(seed)) for seed in (1, 2)]


def pictures_too(forms: Callable[[], list[Any]]) -> Callable[[], list[Any]]:
    return lambda: [*forms(), images.picture(1), [images.picture(1), images.picture(2)]]


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def requests(*given: dict[str, Any]) -> Callable[[], list[Any]]:
    """Every form of requests, and the first one's first value alone."""
    return lambda: [given[0], list(given), pd.DataFrame(list(given)), next(iter(given[0].values()))]


HELLO = [{"role": "user", "content": "hello"}]
BRIEF = [{"role": "system", "content": "be brief"}, *HELLO]
SHORT = {"max_new_tokens": 6, "do_sample": False}
LENGTH = {"max_new_tokens": {"type": "long", "default": 6, "minimum": 1, "maximum": 20}}
TABLE = {"actors": ["brad pitt", "george clooney"], "age": ["56", None]}
SEQ2SEQ: dict[str, Any] = {"example": ["a fine film"], "model_config": {"num_beams": 1}, "params": LENGTH}

OWN = (
    Deployment(
        "text-classification",
        "bert-sentiment",
        {"text": "a fine film", "text_pair": "a dull one"},
        lambda: [*texts()(), *pairs("text", "text_pair")()],
        model_config={"top_k": 1},
        params={"function_to_apply": "softmax"},
        chosen={"function_to_apply": "sigmoid"},
        settings={"top_k": 2, "batch_tokens": 64},
    ),
    Deployment(
        "text-generation",
        "llama-chat",
        ["the house on the hill"],
        lambda: [*texts("prompt")(), BRIEF],
        model_config=SHORT,
        params={"temperature": 1.0, **LENGTH},
        chosen={"max_new_tokens": 2},
        settings={"return_full_text": False},
    ),
    Deployment("summarization", "bart", forms=texts(), chosen={"max_new_tokens": 2}, **SEQ2SEQ),
    Deployment("text2text-generation", "t5", forms=texts(), chosen={"max_new_tokens": 2}, **SEQ2SEQ),
    Deployment(
        "translation",
        "nllb",
        [{"text": "The weather is bad today."}],
        lambda: [*texts()(), *rows({"text": "a", "tgt_lang": "spa_Latn"}, {"text": "b", "tgt_lang": None})()],
        model_config={"num_beams": 1, "max_new_tokens": 12},
        params={"src_lang": "eng_Latn", "tgt_lang": "fra_Latn"},
        chosen={"tgt_lang": "spa_Latn"},
    ),
    Deployment(
        "question-answering",
        "distilbert-squad",
        [{"question": "who jumps?", "context": "the quick brown fox jumps over the lazy dog."}],
        rows({"question": "who?", "context": "the fox jumps"}, {"question": "what?", "context": "the dog sleeps"}),
    ),
    Deployment(
        "zero-shot-classification",
        "bart-mnli",
        {"sequences": "a day at sea", "candidate_labels": ["travel", "cooking"]},
        lambda: [
            *texts("sequences")(),
            *rows(
                {"sequences": "a day at sea", "candidate_labels": "travel, cooking"},
                {"sequences": "a day at sea", "candidate_labels": ["food"], "hypothesis_template": "About {}."},
            )(),
        ],
        model_config={"candidate_labels": ["travel", "dancing"]},
        params={"multi_label": False},
        chosen={"multi_label": True},
    ),
    Deployment(
        "fill-mask",
        "distilbert-mlm",
        ["a [MASK] film"],
        lambda: ["a [MASK] film", pd.DataFrame({"id": [1], "text": ["a [MASK] film"]})],
        settings={"targets": ["dog"]},
    ),
    Deployment(
        "table-question-answering",
        "tapas-wtq",
        [{"query": "how old?", "table": TABLE}],
        lambda: [
            {"query": "how old?", "table": TABLE},
            {"query": "how old?", "table": pd.DataFrame(TABLE)},
            {"query": ["how old?", "who?"], "table": TABLE},
            pd.DataFrame({"query": ["how old?", "who?"], "table": [TABLE, '{"a": ["1", "2"]}']}),
        ],
    ),
    Deployment(
        "automatic-speech-recognition",
        "whisper",
        [{"audio": in_base64(some_sounds()[0])}],
        arrays_too(files("audio", some_sounds)),
        model_config={"max_new_tokens": 8, "num_beams": 1},
        params={"language": "english"},
        chosen={"language": "french"},
    ),
    Deployment(
        "audio-classification",
        "wav2vec2-keywords",
        {"audio": in_base64(some_sounds()[0])},
        arrays_too(files("audio", some_sounds)),
        params={"top_k": 1},
        chosen={"top_k": 2},
    ),
    Deployment(
        "image-classification",
        "vit",
        [{"image": in_base64(some_pictures()[0])}],
        pictures_too(files("image", some_pictures)),
        settings={"top_k": 2},
    ),
    Deployment(
        "conversational",
        "llama-chat",
        BRIEF,
        lambda: ["hello", BRIEF, [HELLO, BRIEF], {"messages": HELLO}, pd.DataFrame({"messages": [HELLO, BRIEF]})],
        model_config=SHORT,
    ),
    Deployment(
        "llm/v1/chat",
        "llama-chat",
        {"messages": BRIEF, "max_tokens": 3},
        requests({"messages": BRIEF, "max_tokens": 3, "stop": ["x"]}, {"messages": HELLO, "n": 2, "seed": 1}),
        model_config={"do_sample": False},
        params={"max_tokens": {"type": "long", "default": 5, "minimum": 1, "maximum": 20}},
        chosen={"max_tokens": 2},
    ),
    Deployment(
        "llm/v1/completions",
        "gpt2",
        {"prompt": ["a fine", "the"], "max_tokens": 3},
        requests({"prompt": ["a fine", "the"], "max_tokens": 3, "echo": True}, {"prompt": "a", "max_tokens": 2}),
        model_config={"do_sample": False, "max_tokens": 4},
    ),
    Deployment(
        "llm/v1/embeddings",
        "distilbert-mlm",
        {"input": ["a fine film", "a dull one"]},
        requests({"input": ["a fine film", "a dull one"], "dimensions": 4}, {"input": "a"}),
    ),
    Deployment(
        "feature-extraction",
        "minilm-like",
        ["a fine film", "a dull one"],
        texts(),
        library=ST,
        params={"normalize_embeddings": False},
        chosen={"normalize_embeddings": True},
        settings={"truncate_dim": 4},
    ),
    Deployment(
        "llm/v1/embeddings",
        "minilm-like",
        {"input": "a fine film", "dimensions": 4},
        requests({"input": ["a", "b"], "encoding_format": "base64"}, {"input": "a"}),
        library=ST,
    ),
    Deployment(
        "sentence-similarity",
        "minilm-like",
        {"source_sentence": "a", "sentences": ["a", "b"]},
        lambda: [*pairs("source_sentence", "sentence")(), {"source_sentence": "a", "sentences": ["b", "c"]}],
        library=ST,
    ),
    Deployment(
        "text-ranking",
        "ce-msmarco",
        [{"query": "who?", "document": "nobody"}],
        lambda: [*pairs("query", "document")(), {"query": "a", "documents": ["b", "c"]}],
        library=ST,
    ),
)


def plain(library: str, task: str) -> Deployment:
    """A deployment of a task that has none of its own: its sample's checkpoint, over texts or over rows of columns."""
    sample = SAMPLES[library, task]
    two = [row for row in sample.rows() if row][:2]
    forms = rows(*two) if isinstance(two[0], dict) else texts()
    return Deployment(task, sample.checkpoint, two[:1], forms, library=library, model_config=sample.settings)


_WRITTEN = {(each.library, each.task): each for each in OWN}
_WRITTEN |= {
    key: replace(_WRITTEN["transformers", key[1]], library=GENAI, checkpoint=sample.checkpoint)
    for key, sample in SAMPLES.items()
    if key[0] == GENAI
}
DEPLOYMENTS = tuple(_WRITTEN.get(key) or plain(*key) for key in table.TASKS)
