"""Answers equal those of the pipeline that transformers had up to 4.57, and those found by trying every span."""

from __future__ import annotations

import itertools
import json
import random
import sys
from pathlib import Path

import pytest

import hfspec
from hfspec.errors import InputError, ParamsError, SpecError
from tests import interpreters
from tests.runtime.texts import MIXED

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "question_answering.json").read_text(encoding="utf-8"))
ROWS = GOLDEN["rows"]
KINDS = ["distilbert-squad", "bert-squad", "roberta-squad2"]
CONTEXT = "the quick brown fox jumps over the lazy dog and sleeps."
QUESTION = "who jumps over the dog?"


@pytest.fixture
def answerer(build, checkpoint):
    """``answerer(name, **model_config)``: the predictor, with the settings given to load."""
    return lambda name="bert-squad", **config: hfspec.load(
        build(checkpoint(name), "question-answering"), model_config=config, verify=False
    )


def assert_answers(mine, truth):
    """Lists of dicts, texts and places exactly, scores to 1e-5."""
    assert [(one["answer"], one["start"], one["end"]) for one in mine] == [
        (one["answer"], one["start"], one["end"]) for one in truth
    ]
    assert [one["score"] for one in mine] == pytest.approx([one["score"] for one in truth], abs=1e-5)


def golden_cases(name):
    mine = [case for case in GOLDEN["cases"] if case["checkpoint"] == name]
    settings = {json.dumps(case["settings"]): case["settings"] for case in mine}.values()
    return [(chosen, [case for case in mine if case["settings"] == chosen]) for chosen in settings]


@pytest.mark.parametrize("name", KINDS)
def test_answers_as_the_pipeline_of_4_57_gave_them(answerer, name):
    for number, (settings, cases) in enumerate(golden_cases(name)):
        random.Random(number).shuffle(cases)
        batch_tokens = (1, 200, 100_000)[number % 3]
        answers = answerer(name, **settings, batch_tokens=batch_tokens).predict(
            [ROWS[case["row"]] for case in cases], outputs="full"
        )
        assert len(answers) == len(cases) >= 8
        for case, answer in zip(cases, answers, strict=True):
            assert_answers(answer["answers"], case["answers"])
            assert_answers([answer], case["answers"][:1])


def test_the_golden_answers_are_of_many_kinds():
    answers = [answer for case in GOLDEN["cases"] for answer in case["answers"]]
    assert len(GOLDEN["cases"]) > 200
    assert len({answer["answer"] for answer in answers}) > 50
    assert any(answer["answer"] == "" for answer in answers)
    assert any(case["answers"][0]["answer"] != GOLDEN["cases"][0]["answers"][0]["answer"] for case in GOLDEN["cases"])


def every_span(folder, question, context, longest, *, question_first=True):
    """The best span, found by trying all: (answer, start, end, score)."""
    import torch
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    words = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    texts = (question, context) if question_first else (context, question)
    encoded = words(*texts, return_tensors="pt", return_offsets_mapping=True)
    sides, offsets = encoded.sequence_ids(0), encoded.pop("offset_mapping")[0].tolist()
    with torch.no_grad():
        output = model(**encoded)
    places = [place for place, side in enumerate(sides) if side == int(question_first)]
    kept = [0, *places]
    starts = dict(zip(kept, output.start_logits[0, kept].softmax(-1).tolist(), strict=True))
    ends = dict(zip(kept, output.end_logits[0, kept].softmax(-1).tolist(), strict=True))
    spans = [
        (s, e) for s, e in itertools.product(places, places) if s <= e < s + longest and offsets[s][0] < offsets[e][1]
    ]
    best = max(spans, key=lambda span: starts[span[0]] * ends[span[1]])
    start, end = offsets[best[0]][0], offsets[best[1]][1]
    return {"answer": context[start:end], "start": start, "end": end, "score": starts[best[0]] * ends[best[1]]}


@pytest.mark.parametrize("name", KINDS)
def test_the_best_of_all_spans_is_found(answerer, checkpoint, name):
    rows = [
        {"question": question, "context": f"{context} x"}
        for question, context in itertools.product(["a fine film?", "5"], MIXED)
    ]
    answers = answerer(name, align_to_words=False, max_answer_len=6).predict(rows, outputs="full")
    for row, answer in zip(rows, answers, strict=True):
        assert_answers([answer], [every_span(checkpoint(name), row["question"], row["context"], 6)])


def test_a_tokenizer_that_pads_on_the_left_reads_the_context_first(build, checkpoint):
    source = checkpoint("bert-squad")
    component = {"tokenizer": {"path": str(source), "options": {"padding_side": "left"}}}
    predictor = hfspec.load(
        build(source, "question-answering", components=component),
        model_config={"align_to_words": False, "max_answer_len": 6},
        verify=False,
    )
    rows = [{"question": QUESTION, "context": CONTEXT}, {"question": "is it?", "context": "yes, a film"}]
    for row, answer in zip(rows, predictor.predict(rows, outputs="full"), strict=True):
        truth = every_span(source, row["question"], row["context"], 6, question_first=False)
        assert_answers([answer], [truth])


@pytest.mark.parametrize("name", KINDS)
def test_places_are_characters_of_the_context(answerer, name):
    rows = [{"question": "what?", "context": context} for context in (*MIXED, "漢字 " * 200) if context.strip()]
    for row, answer in zip(rows, answerer(name, top_k=4).predict(rows, outputs="full"), strict=True):
        assert 1 <= len(answer["answers"]) <= 4
        for one in answer["answers"]:
            assert row["context"][one["start"] : one["end"]] == one["answer"]


def test_top_k_gives_one_text_a_row_and_the_others_in_the_full_form(answerer):
    rows = [ROWS[0], ROWS[5]]
    best = answerer().predict(rows)
    predictor = answerer(top_k=3)
    assert predictor.predict(rows) == best
    full = predictor.predict(rows, outputs="full")
    assert [row["answer"] for row in full] == best
    assert [len(row["answers"]) for row in full] == [3, 3]


def test_no_answer_only_where_a_setting_allows_it(answerer):
    rows = [*ROWS, {"question": "5", "context": " 🎬  a  \n "}]  # white space has tokens, and no answer lies there

    def answers(**settings):
        return answerer("roberta-squad2", **settings, max_answer_len=1, top_k=50).predict(rows, outputs="full")

    assert not any(one["answer"] == "" for row in answers() for one in row["answers"])
    allowed = [[one for one in row["answers"] if one["answer"] == ""] for row in answers(handle_impossible_answer=True)]
    assert [len(empty) for empty in allowed] == [1] * len(rows)
    assert all((empty[0]["start"], empty[0]["end"]) == (0, 0) and empty[0]["score"] > 0 for empty in allowed)


def test_a_question_that_leaves_less_room_than_windows_share_is_still_answered(answerer):
    question = "is the very long film good? " * 10
    (row,) = answerer().predict({"question": question, "context": "a great film about the dog. " * 20}, outputs="full")
    assert row["windows"] > 2
    assert row["answer"]


def test_a_question_that_leaves_no_room_is_refused_by_its_row(answerer):
    rows = [ROWS[0], {"question": "a " * 126, "context": CONTEXT}]
    with pytest.raises(InputError, match=r"row 1.*takes 129 tokens and a window has 128.*max_question_len"):
        answerer().predict(rows)
    question = " ".join(["a"] * 20)
    cut = answerer(max_question_len=20).predict(rows, outputs="full")
    (truth,) = answerer().predict({"question": question, "context": CONTEXT}, outputs="full")
    assert_answers(cut[1]["answers"], truth["answers"])
    assert_answers(cut[0]["answers"], answerer().predict(ROWS[0], outputs="full")[0]["answers"])


def test_every_form_of_input_means_the_same(answerer):
    import numpy as np
    import pandas as pd

    rows = [{"question": QUESTION, "context": CONTEXT}, {"question": "5", "context": "None"}]
    predictor = answerer()
    truth = predictor.predict(rows)
    pairs = [[row["question"], row["context"]] for row in rows]
    columns = {name: [row[name] for row in rows] for name in ("context", "question")}
    frame = pd.DataFrame({"id": ["x", "y"], **columns})
    for form in (tuple(rows), pairs, columns, frame, np.array(pairs)):
        assert predictor.predict(form) == truth
    assert predictor.predict(rows[0]) == truth[:1]
    one_context = predictor.predict({"question": [QUESTION, "5"], "context": CONTEXT})
    assert one_context == predictor.predict([rows[0], {"question": "5", "context": CONTEXT}])
    assert predictor.predict([]) == []
    assert predictor.predict([], outputs="full") == []


def test_text_is_never_evaluated(answerer, checkpoint):
    for text in ("5", "None", "'quoted'", "{'question': 'a'}", "__import__('os')"):
        (answer,) = answerer(align_to_words=False).predict({"question": text, "context": text}, outputs="full")
        assert_answers([answer], [every_span(checkpoint("bert-squad"), text, text, 15)])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"question": QUESTION, "context": ""}, "row 0.*'context'.*empty"),
        ([ROWS[0], {"question": " \n", "context": CONTEXT}], "row 1.*'question'.*empty"),
        ([ROWS[0], {"question": QUESTION, "context": "\x00\x07"}], "row 1.*'context'.*no token"),
        ({"question": QUESTION}, "'context' is missing"),
        ({"questions": QUESTION, "context": CONTEXT}, "did you mean 'questions' to be 'question'"),
        ([ROWS[0], {"question": QUESTION, "context": None}], "row 1.*missing"),
        ([ROWS[0], {"question": 5, "context": CONTEXT}], "row 1.*expected text"),
        ({"question": [QUESTION, "5"], "context": [CONTEXT]}, "one length"),
        (QUESTION, "question, context"),
        ([QUESTION], "row 0"),
        (None, "expected text"),
        (3, "expected text"),
    ],
)
def test_bad_input_is_refused(answerer, data, words):
    with pytest.raises(InputError, match=words):
        answerer().predict(data)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_seq_len": 129}, "at most 128"),
        ({"max_seq_len": 32, "doc_stride": 32}, "cannot share"),
        ({"top_k": 0}, "top_k"),
        ({"max_answer_len": 0}, "max_answer_len"),
        ({"handle_impossible_answer": "yes"}, "handle_impossible_answer"),
        ({"padding": True}, "padding"),
    ],
)
def test_settings_that_cannot_work_are_refused(answerer, settings, words):
    with pytest.raises(ParamsError, match=words):
        answerer(**settings).predict(ROWS[0])


def test_the_artifact_answers_json_with_json(build, checkpoint, answerer, tmp_path):
    folder = build(checkpoint("bert-squad"), "question-answering", outputs="full", model_config={"top_k": 2})
    (tmp_path / "rows.json").write_text(json.dumps(ROWS[:2]), encoding="utf-8")
    done = interpreters.run(
        [sys.executable, folder / "predictor.py", "--json", tmp_path / "rows.json"],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    truth = answerer(top_k=2).predict(ROWS[:2], outputs="full")
    for mine, row in zip(json.loads(done.stdout), truth, strict=True):
        assert_answers(mine["answers"], row["answers"])


@pytest.mark.parametrize(
    ("name", "words"),
    [("bert-sentiment", "is a DistilBertForSequenceClassification"), ("llama-chat", "is a LlamaForCausalLM")],
)
def test_a_checkpoint_without_the_head_is_refused(checkpoint, build, name, words):
    with pytest.raises(SpecError, match=words):
        build(checkpoint(name), "question-answering")
