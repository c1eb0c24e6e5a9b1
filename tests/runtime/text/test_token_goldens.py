"""Answers equal those that the pipelines of transformers 4.57 gave (tests/golden/make_token_tasks.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hfspec

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "token_tasks.json").read_text(encoding="utf-8"))


@pytest.fixture
def answer(build, checkpoint):
    """``answer(name, task, data, **model_config)``: the full form."""

    def get(name, task, data, **config):
        folder = build(checkpoint(name), task, library="transformers")
        return hfspec.load(folder, model_config=config, verify=False).predict(data, outputs="full")

    return get


def same(mine, truth):
    """Whether two answers are equal, numbers to 1e-5."""
    if isinstance(truth, dict):
        return set(mine) == set(truth) and all(same(mine[key], value) for key, value in truth.items())
    if isinstance(truth, list):
        return len(mine) == len(truth) and all(map(same, mine, truth))
    return mine == pytest.approx(truth, abs=1e-5) if isinstance(truth, float) else mine == truth


def by(cases, key):
    """The cases with one value of ``key`` together."""
    groups = {}
    for case in cases:
        groups.setdefault(json.dumps(key(case)), []).append(case)
    return groups.values()


def test_the_comparison_can_fail():
    assert same([{"a": 1.0}], [{"a": 1.0000001}])
    assert not same([{"a": 1.0}], [{"a": 1.1}])
    assert not same([{"a": "x"}], [{"a": "y"}])
    assert not same([{}], [{}, {}])


def test_entities(answer):
    for cases in by(GOLDEN["token-classification"], lambda case: case["settings"]):
        found = answer("bert-ner", "token-classification", [case["text"] for case in cases], **cases[0]["settings"])
        for row, case in zip(found, cases, strict=True):
            assert same(row["entities"], case["answer"]), case


def test_fillings(answer):
    for cases in by(GOLDEN["fill-mask"], lambda case: (case["checkpoint"], case["settings"])):
        texts = [case["text"] for case in cases]
        found = answer(cases[0]["checkpoint"], "fill-mask", texts, **cases[0]["settings"])
        for row, case in zip(found, cases, strict=True):
            assert same(row["masks"], case["answer"]), case


def test_features(answer):
    cases = GOLDEN["feature-extraction"]
    found = answer("distilbert-mlm", "feature-extraction", [case["text"] for case in cases])
    for row, case in zip(found, cases, strict=True):
        assert same(row["features"].tolist(), case["answer"]), case["text"]


def test_zero_shot_labels(answer):
    for cases in by(GOLDEN["zero-shot-classification"], lambda case: (case["checkpoint"], case["multi_label"])):
        first = cases[0]
        rows = [case["row"] for case in cases]
        found = answer(first["checkpoint"], "zero-shot-classification", rows, multi_label=first["multi_label"])
        for row, case in zip(found, cases, strict=True):
            assert same(row, case["answer"]), case
