"""Batching never changes an answer: for every task, rows answered together get what each of them gets alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import hfspec
from hfspec.tasks import table
from tests.runtime.chats import CHATS
from tests.runtime.images import picture
from tests.runtime.sounds import tone
from tests.runtime.text.test_token_goldens import same
from tests.runtime.texts import MIXED, shuffled

TEXTS = [*shuffled(MIXED), "the quick brown fox jumps over the lazy dog and " * 4]
LONG = [*TEXTS, "my name is Sarah and I live in London. " * 20]  # more than the models read at once
SPOKEN = [text for text in TEXTS if text.strip()]
SAMPLED = {"do_sample": True, "seed": 11, "temperature": 1.4, "top_k": 0}
SHORT = {"do_sample": False, "max_new_tokens": 7}
UNSET = {"num_beams": 1, "max_new_tokens": 7}
# What says when or where in a call an answer was made.
FLEETING = {"id", "created", "request"}
ST = "sentence-transformers"


@dataclass(frozen=True)
class Case:
    """``rows``: made when needed; ``variants``: settings that load is given; ``budgets``: of the setting ``budget``."""

    task: str
    checkpoint: str
    rows: Callable[[], list[Any]]
    library: str = "transformers"
    variants: tuple[dict[str, Any], ...] = ({},)
    budget: str = "batch_tokens"
    budgets: tuple[int, ...] = (60, 400, 100_000)

    @property
    def name(self) -> str:
        return f"{self.library}-{self.task}-{self.checkpoint}"


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
        {"query": query, "table": cells} for query in ("how old?", "how many are in the city?") for cells in (few, many)
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


GREEDY_OR_SAMPLED = (SHORT, {**SHORT, **SAMPLED})
ANSWERS = ({**UNSET, "do_sample": False}, {**UNSET, **SAMPLED})
CASES = (
    Case("text-classification", "bert-sentiment", texts),
    Case("text-classification", "roberta-mnli", of_two("text", "text_pair"), variants=({"truncation": True},)),
    Case("text-generation", "gpt2", texts, variants=(*GREEDY_OR_SAMPLED, {**SHORT, "num_beams": 3})),
    Case("text-generation", "llama-chat", texts, variants=GREEDY_OR_SAMPLED),
    Case("summarization", "bart", spoken, variants=ANSWERS),
    Case("text2text-generation", "t5", spoken, variants=ANSWERS),
    Case(
        "translation",
        "nllb",
        lambda: [{"text": text, "tgt_lang": ("fra_Latn", "spa_Latn")[place % 2]} for place, text in enumerate(SPOKEN)],
        variants=tuple({"src_lang": "eng_Latn", "tgt_lang": "fra_Latn", **each} for each in ANSWERS),
    ),
    Case("question-answering", "roberta-squad2", questions, variants=({"top_k": 2},)),
    Case("token-classification", "bert-ner", long_texts, variants=({"stride": 8, "aggregation_strategy": "first"},)),
    Case("zero-shot-classification", "bart-mnli", labelled),
    Case("zero-shot-classification", "bert-nli", labelled, variants=({"multi_label": True},)),
    Case("fill-mask", "distilbert-mlm", lambda: [f"{text[:150]} [MASK]" for text in TEXTS]),
    Case("feature-extraction", "distilbert-mlm", texts),
    Case("feature-extraction", "gpt2", spoken),
    Case("table-question-answering", "tapas-wtq", tables),
    Case(
        "automatic-speech-recognition",
        "whisper",
        long_sounds,
        variants=({"max_new_tokens": 8, "num_beams": 1, "return_timestamps": "word"},),
        budget="batch_seconds",
        budgets=(1, 60, 1000),
    ),
    Case("automatic-speech-recognition", "wav2vec2-ctc", sounds, budget="batch_seconds", budgets=(1, 3, 1000)),
    Case("audio-classification", "wav2vec2-keywords", sounds, budget="batch_seconds", budgets=(1, 3, 1000)),
    Case(
        "image-classification",
        "vit",
        lambda: [picture(place, size) for place, size in enumerate([(40, 30), (8, 50), (64, 64)] * 2)],
        budget="batch_images",
        budgets=(1, 4, 100),
    ),
    Case("conversational", "llama-chat", lambda: list(CHATS), variants=GREEDY_OR_SAMPLED),
    Case("llm/v1/chat", "qwen-chat", requests),
    Case("llm/v1/completions", "gpt2", prompts),
    Case("llm/v1/embeddings", "distilbert-mlm", inputs),
    Case("feature-extraction", "minilm-like", long_texts, library=ST),
    Case("llm/v1/embeddings", "minilm-like", inputs, library=ST),
    Case("sentence-similarity", "minilm-like", of_two("source_sentence", "sentence"), library=ST),
    Case("sparse-embedding", "splade", texts, library=ST),
    Case("text-ranking", "ce-msmarco", of_two("query", "document"), library=ST),
)  # fmt: skip


def test_every_task_has_a_case():
    assert {(case.library, case.task) for case in CASES} == set(table.TASKS)


@pytest.mark.filterwarnings("ignore:std")  # of Whisper's own word times, over one token
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rows_together_are_answered_as_alone(build, checkpoint, case):
    rows, (*_, some, most) = case.rows(), case.budgets
    declared = {"params": {case.budget: most}}
    folder = build(checkpoint(case.checkpoint), case.task, library=case.library, signature=declared)
    for settings in case.variants:
        predictor = hfspec.load(folder, model_config=settings, device="cpu")
        alone = [known(predictor.predict([row], outputs="full")) for row in rows]
        assert len({repr(answers) for answers in alone}) > len(rows) // 3
        for budget in case.budgets:
            together = known(predictor.predict(rows, {case.budget: budget}, outputs="full"))
            assert same(together, [answer for answers in alone for answer in answers]), (settings, budget)
        streamed = predictor.predict_iter(iter(rows[::-1]), {case.budget: some}, outputs="full", window=5)
        listed = [known(answer if isinstance(answer, list) else [answer]) for answer in streamed]
        assert same(listed, alone[::-1]), settings


def known(answer: Any) -> Any:
    """The answer in plain values, without what is made up anew for each."""
    if isinstance(answer, dict):
        return {name: known(value) for name, value in answer.items() if name not in FLEETING}
    if isinstance(answer, list | tuple):
        return [known(value) for value in answer]
    return known(answer.tolist()) if hasattr(answer, "tolist") else answer
