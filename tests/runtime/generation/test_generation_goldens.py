"""Answers equal those that transformers 4.57's pipeline gave to prompts and conversations on the same weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hfspec

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "generation.json").read_text(encoding="utf-8"))
CASES = GOLDEN["cases"]
TALKS = [case for case in CASES if isinstance(case["rows"][0], list)]


def name(case):
    kind = "messages" if case in TALKS else "prompts"
    way = "sampled" if case["settings"]["do_sample"] else "beams" if "num_beams" in case["settings"] else "greedy"
    return f"{case['checkpoint']}-{kind}-{way}"


def test_the_goldens_are_of_a_release_that_had_the_pipeline():
    assert GOLDEN["transformers"].startswith("4.57")
    assert len(TALKS) == 12


@pytest.mark.parametrize("case", CASES, ids=name)
def test_text_generation_says_what_the_pipeline_said(build, checkpoint, case):
    artifact = build(checkpoint(case["checkpoint"]), "text-generation", model_config=case["settings"])
    assert hfspec.load(artifact).predict(case["rows"]) == case["answers"]


@pytest.mark.parametrize("case", TALKS, ids=name)
def test_conversations_and_chat_say_the_same(build, checkpoint, case):
    folder = checkpoint(case["checkpoint"])
    talk = hfspec.load(build(folder, "conversational", model_config=case["settings"]))
    assert talk.predict(case["rows"]) == case["answers"]
    chat = hfspec.load(build(folder, "llm/v1/chat", model_config=case["settings"]))
    made = chat.predict([{"messages": messages} for messages in case["rows"]])
    assert [one["choices"][0]["message"]["content"] for one in made] == case["answers"]
