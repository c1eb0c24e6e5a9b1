"""Batching never changes an answer: for every task, rows answered together get what each of them gets alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import hfspec
from hfspec.tasks import table
from tests.runtime.text.test_token_goldens import same
from tests.samples import GENAI, SAMPLES, TRANSFORMERS, long_sounds, of_two, spoken

SAMPLED = {"do_sample": True, "seed": 11, "temperature": 1.4, "top_k": 0}
SHORT = {"do_sample": False, "max_new_tokens": 7}
UNSET = {"num_beams": 1, "max_new_tokens": 7}
# What says when or where in a call an answer was made.
FLEETING = {"id", "created", "request"}


@dataclass(frozen=True)
class Case:
    """``rows``: made when needed; ``variants``: settings that load is given; ``budgets``: of the setting ``budget``."""

    task: str
    checkpoint: str
    rows: Callable[[], list[Any]]
    library: str = TRANSFORMERS
    variants: tuple[dict[str, Any], ...] = ({},)
    budget: str = "batch_tokens"
    budgets: tuple[int, ...] = (60, 400, 100_000)

    @property
    def name(self) -> str:
        return f"{self.library}-{self.task}-{self.checkpoint}"


GREEDY_OR_SAMPLED = ({**SHORT}, {**SHORT, **SAMPLED})
ANSWERS = ({**UNSET, "do_sample": False}, {**UNSET, **SAMPLED})
SECONDS = {"budget": "batch_seconds", "budgets": (1, 3, 1000)}
WHISPER = {
    "rows": long_sounds,
    "variants": ({"max_new_tokens": 8, "num_beams": 1, "return_timestamps": "word"},),
    "budget": "batch_seconds",
    "budgets": (1, 60, 1000),
}
# What differs from a plain case of the task, a case each.
OWN: dict[tuple[str, str], tuple[dict[str, Any], ...]] = {
    (TRANSFORMERS, "text-classification"): (
        {},
        {"checkpoint": "roberta-mnli", "rows": of_two("text", "text_pair"), "variants": ({"truncation": True},)},
    ),
    (TRANSFORMERS, "text-generation"): (
        {"variants": (*GREEDY_OR_SAMPLED, {**SHORT, "num_beams": 3})},
        {"checkpoint": "llama-chat", "variants": GREEDY_OR_SAMPLED},
    ),
    (TRANSFORMERS, "summarization"): ({"variants": ANSWERS},),
    (TRANSFORMERS, "text2text-generation"): ({"variants": ANSWERS},),
    (TRANSFORMERS, "translation"): ({"variants": ANSWERS},),
    (TRANSFORMERS, "question-answering"): ({"variants": ({"top_k": 2},)},),
    (TRANSFORMERS, "token-classification"): ({"variants": ({"stride": 8, "aggregation_strategy": "first"},)},),
    (TRANSFORMERS, "zero-shot-classification"): (
        {},
        {"checkpoint": "bert-nli", "variants": ({"multi_label": True},)},
    ),
    (TRANSFORMERS, "feature-extraction"): ({}, {"checkpoint": "gpt2", "rows": spoken}),
    (TRANSFORMERS, "automatic-speech-recognition"): (WHISPER, {"checkpoint": "wav2vec2-ctc", **SECONDS}),
    (TRANSFORMERS, "audio-classification"): (SECONDS,),
    (TRANSFORMERS, "image-classification"): ({"budget": "batch_images", "budgets": (1, 4, 100)},),
    (TRANSFORMERS, "conversational"): ({"variants": GREEDY_OR_SAMPLED},),
    (GENAI, "text-generation"): ({"variants": (*GREEDY_OR_SAMPLED, {**SHORT, "num_beams": 3})},),
}


def case(library: str, task: str, **own: Any) -> Case:
    """A case of the task with its sample's checkpoint and rows, where it has none of its own."""
    sample = SAMPLES[library, task]
    variants = tuple({**sample.settings, **each} for each in own.pop("variants", ({},)))
    return Case(
        task, **{"checkpoint": sample.checkpoint, "rows": sample.rows, **own}, library=library, variants=variants
    )


CASES = tuple(case(*key, **own) for key in table.TASKS for own in OWN.get(key, ({},)))


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
