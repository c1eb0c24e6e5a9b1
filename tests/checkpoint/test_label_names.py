"""Labels that no answer could name are refused at plan; numbers are read as text."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import hfspec
from tests.compiling import change_json, refusal, write_spec

BAD = [
    ({"0": "A", "2": "B"}, "no label 1"),
    ({"1": "A", "2": "B"}, "no label 0"),
    ({"-1": "A", "0": "B"}, "no label 1"),
    ({"0": "A", "00": "B"}, "no label 1"),
    ({"0": None, "1": "B"}, "id2label.0 is not a name"),
    ({"0": "A", "1": ["B"]}, "id2label.1 is not a name"),
    ({"0": True, "1": False}, "id2label.0 is not a name"),
    ({"a": "x", "b": "y"}, "'a'"),
    ({"0.0": "x", "1": "y"}, "'0.0'"),
    (["A", "B"], "names no labels"),
    ({}, "names no labels"),
]


@pytest.mark.parametrize(("stated", "said"), BAD)
@pytest.mark.parametrize(("name", "task"), [("bert-sentiment", "text-classification"), ("bert-ner", "ner")])
def test_labels_that_cannot_be_named(own_copy, tmp_path, name, task, stated, said):
    model = own_copy(name)
    change_json(model / "config.json", id2label=stated)
    problem, *others = refusal(write_spec(tmp_path / "s", model, task=task)).problems
    assert {found.code for found in (problem, *others)} == {"broken-checkpoint"}
    assert said in f"{problem.message} {problem.found}"
    assert "config.json" in problem.remedy


def test_every_label_at_fault_is_named_at_once(own_copy, tmp_path):
    model = own_copy("bert-nli")
    change_json(
        model / "config.json", id2label={"0": None, "x": "B", "y": ["C"]}, label2id={"entailment": 7, "neutral": None}
    )
    spec = write_spec(tmp_path / "s", model, task="zero-shot-classification")
    told = [f"{problem.message} {problem.found}" for problem in refusal(spec).problems]
    for said in ("'x'", "'y'", "id2label.0 is", "id2label.y is", "label2id.entailment", "label2id.neutral"):
        assert len([text for text in told if said in text]) == 1


@pytest.mark.parametrize("names", [{"0": "A"}, {"0": "A", "1": "B", "2": "C"}])
def test_where_num_labels_contradicts_the_names_the_plan_shows_what_the_library_answers(own_copy, tmp_path, names):
    model = own_copy("bert-sentiment")
    change_json(model / "config.json", id2label=names, label2id=None, num_labels=2)
    known = AutoModelForSequenceClassification.from_pretrained(model).config.id2label
    assert hfspec.plan(write_spec(tmp_path / "s", model)).labels == tuple(known.values())


def test_a_rankers_labels(own_copy, tmp_path):
    model = own_copy("roberta-mnli")
    change_json(model / "config.json", id2label={"0": "a", "1": "b", "3": "c"})
    spec = write_spec(tmp_path / "s", model, library="sentence-transformers", task="text-ranking")
    assert "no label 2" in str(refusal(spec))


@pytest.mark.parametrize("number", [9, -1, None, "two", True])
def test_a_number_that_no_label_has(own_copy, tmp_path, number):
    model = own_copy("bert-nli")
    stated = json.loads((model / "config.json").read_text())["label2id"]
    change_json(model / "config.json", label2id={**stated, next(iter(stated)): number})
    spec = write_spec(tmp_path / "s", model, task="zero-shot-classification")
    assert "is not a number of a label" in str(refusal(spec))


def test_zero_shot_without_label2id(own_copy, tmp_path):
    model = own_copy("bert-nli")
    change_json(model / "config.json", label2id=None)
    assert hfspec.plan(write_spec(tmp_path / "s", model, task="zero-shot-classification"))


@pytest.mark.parametrize("stated", [{"0": 1, "1": 5}, {"0": 0, "1": 0.5}, {"0": "A", "1": "A"}, {"1": "x", "0": "y"}])
def test_numbers_are_texts_and_names_may_repeat(own_copy, tmp_path, stated):
    model = own_copy("bert-sentiment")
    change_json(model / "config.json", id2label=stated, label2id=None)
    artifact = hfspec.compile(write_spec(tmp_path / "s", model), output=tmp_path / "target")
    loaded = AutoModelForSequenceClassification.from_pretrained(model)
    inputs = AutoTokenizer.from_pretrained(model)("a fine film", return_tensors="pt")
    with torch.no_grad():
        best = int(loaded(**inputs).logits.argmax())
    answer = hfspec.load(artifact.path).predict("a fine film")
    assert answer["label"].tolist() == [str(stated[str(best)])]


def test_labels_do_not_matter_where_none_is_answered(own_copy, tmp_path):
    model = own_copy("minilm-like")
    change_json(model / "config.json", id2label={"1": None})
    assert hfspec.plan(write_spec(tmp_path / "s", model))
