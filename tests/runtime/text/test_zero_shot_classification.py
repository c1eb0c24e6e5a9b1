"""Scores equal those of the library's own pipeline and of the model's logits, one row at a time."""

from __future__ import annotations

import json
import sys

import pytest

import hfspec
from hfspec.errors import InputError, ParamsError, SpecError
from tests import interpreters
from tests.runtime.texts import MIXED, PLAIN, shuffled

KINDS = ["bart-mnli", "roberta-mnli", "bert-nli"]
TEXTS = tuple(text for text in MIXED if text)
ASKED = (
    (["happy", "sad", "so so"], "This example is {}."),
    (["travel, by train", "x"], "It is about {} here."),
    (["alone"], "{{{}}} it"),
)
BOTH = ["happy", "sad"]


@pytest.fixture(scope="module")
def pipeline_of(checkpoint):
    from transformers import pipeline

    return lambda name: pipeline("zero-shot-classification", str(checkpoint(name)), device="cpu")


@pytest.fixture
def classifier(build, checkpoint):
    """``classifier(name, **model_config)``: the predictor, with the settings given to load."""
    return lambda name, **config: hfspec.load(
        build(checkpoint(name), "zero-shot-classification"), model_config=config, verify=False
    )


@pytest.fixture(scope="module")
def entailed(checkpoint):
    """``entailed(name)``: text, hypothesis -> the model's logits for one pair alone, as a dict by the label's name."""

    def get(name):
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        words = AutoTokenizer.from_pretrained(checkpoint(name))
        model = AutoModelForSequenceClassification.from_pretrained(checkpoint(name)).eval()

        def logits(text, sentence):
            with torch.no_grad():
                line = model(**words(text, sentence, return_tensors="pt")).logits[0]
            return {model.config.id2label[place].lower(): value for place, value in enumerate(line)}

        return logits

    return get


def rows(texts):
    """Every text with labels and a template of its own."""
    asked = [ASKED[place % len(ASKED)] for place in range(len(texts))]
    return [
        {"sequences": text, "candidate_labels": labels, "hypothesis_template": template}
        for text, (labels, template) in zip(texts, asked, strict=True)
    ]


def assert_ranked(answer, truth):
    assert len(answer) == len(truth)
    for mine, row in zip(answer, truth, strict=True):
        assert mine["sequence"] == row["sequence"]
        assert mine["labels"] == row["labels"]
        assert mine["scores"] == pytest.approx(row["scores"], abs=1e-5)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_every_label_and_score_as_the_pipeline_says(classifier, pipeline_of, name, multi_label):
    data = rows(shuffled(TEXTS))
    pipe = pipeline_of(name)
    truth = [
        pipe(
            row["sequences"],
            row["candidate_labels"],
            hypothesis_template=row["hypothesis_template"],
            multi_label=multi_label,
        )
        for row in data
    ]
    for batch_tokens in (1, 128, 100_000):
        predictor = classifier(name, multi_label=multi_label, batch_tokens=batch_tokens)
        assert_ranked(predictor.predict(data, outputs="full"), truth)


@pytest.mark.parametrize("name", ["bart-mnli", "bert-nli"])
def test_scores_are_the_softmax_of_the_model_s_entailment(classifier, entailed, name):
    import torch

    logits = entailed(name)
    for text in ("", PLAIN):
        found = {label: logits(text, f"This example is {label}.") for label in BOTH}
        together = torch.stack([found[label]["entailment"] for label in BOTH]).softmax(0).tolist()
        order = sorted(range(2), key=lambda place: -together[place])
        data = {"sequences": text, "candidate_labels": BOTH}
        truth = {"sequence": text, "labels": [BOTH[p] for p in order], "scores": [together[p] for p in order]}
        assert_ranked(classifier(name).predict(data, outputs="full"), [truth])
        (alone,) = classifier(name, multi_label=True).predict(data, outputs="full")
        for label, score in zip(alone["labels"], alone["scores"], strict=True):
            pair = torch.stack([found[label]["contradiction"], found[label]["entailment"]])
            assert score == pytest.approx(float(pair.softmax(0)[1]), abs=1e-5)


def test_each_row_has_its_own_labels_and_duplicates_are_kept(classifier):
    predictor = classifier("roberta-mnli")
    data = [
        {"sequences": PLAIN, "candidate_labels": BOTH},
        {"sequences": PLAIN, "candidate_labels": BOTH},
        {"sequences": PLAIN, "candidate_labels": ["one", "two", "three"]},
        {"sequences": "other", "candidate_labels": ["x", "x"]},
    ]
    frame = predictor.predict(data)
    assert list(frame.columns) == ["sequence", "labels", "scores"]
    assert frame["scores"].dtype == "float64"
    assert frame["sequence"].tolist() == [PLAIN] * 7 + ["other"] * 2
    assert [set(frame["labels"][place]) for place in (slice(0, 2), slice(2, 4), slice(4, 7), slice(7, 9))] == [
        {"happy", "sad"},
        {"happy", "sad"},
        {"one", "two", "three"},
        {"x"},
    ]
    for part in (slice(0, 2), slice(2, 4), slice(4, 7), slice(7, 9)):
        scores = frame["scores"][part].tolist()
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1, abs=1e-5)
    for place, row in enumerate(data):
        alone = predictor.predict(row, outputs="full")
        assert_ranked(predictor.predict(data, outputs="full")[place : place + 1], alone)


def test_every_form_of_input_means_the_same(classifier):
    import numpy as np
    import pandas as pd

    predictor = classifier("roberta-mnli")
    texts = [PLAIN, "the quick brown fox", PLAIN]
    as_rows = [{"sequences": text, "candidate_labels": BOTH} for text in texts]
    truth = predictor.predict(as_rows, outputs="full")
    frame = pd.DataFrame(as_rows).assign(id=["x", "y", "z"], hypothesis_template=[None, float("nan"), None])
    forms = [
        {"sequences": texts, "candidate_labels": BOTH},
        {"sequences": texts, "candidate_labels": " happy, sad,"},
        {"sequences": texts, "candidate_labels": [BOTH] * 3},
        {"sequences": texts, "candidate_labels": BOTH, "hypothesis_template": "This example is {}."},
        [{**row, "candidate_labels": "happy,sad"} for row in as_rows],
        [{**row, "candidate_labels": np.array(BOTH)} for row in as_rows],
        [{**row, "candidate_labels": tuple(BOTH)} for row in as_rows],
        [{**row, "hypothesis_template": "This example is {0}."} for row in as_rows],
        frame,
    ]
    for form in forms:
        assert_ranked(predictor.predict(form, outputs="full"), truth)
    defaults = classifier("roberta-mnli", candidate_labels=BOTH)
    for form in (texts, pd.Series(texts), {"sequences": texts}, pd.DataFrame({"text": texts})):
        assert_ranked(defaults.predict(form, outputs="full"), truth)
    assert_ranked(defaults.predict(PLAIN, outputs="full"), truth[:1])


def test_a_row_s_own_labels_and_template_win_over_the_settings(classifier):
    free = classifier("bert-nli")
    set_up = classifier("bert-nli", candidate_labels="happy, sad", hypothesis_template="So {}!")
    own = {"sequences": PLAIN, "candidate_labels": ["x", "y"], "hypothesis_template": "It is {}."}
    answer = set_up.predict([own, PLAIN], outputs="full")
    said = {"sequences": PLAIN, "candidate_labels": BOTH, "hypothesis_template": "So {}!"}
    assert_ranked(answer, free.predict([own, said], outputs="full"))


def test_params_may_set_them_for_a_call(build, checkpoint, classifier):
    params = {
        "candidate_labels": "x, y",
        "hypothesis_template": "It is {}.",
        "multi_label": {"type": "boolean", "default": False},
    }
    predictor = hfspec.load(build(checkpoint("bert-nli"), "zero-shot-classification", signature={"params": params}))
    given = {"candidate_labels": "happy, sad", "hypothesis_template": "So {}!", "multi_label": True}
    said = {"sequences": PLAIN, "candidate_labels": BOTH, "hypothesis_template": "So {}!"}
    truth = classifier("bert-nli", multi_label=True).predict(said, outputs="full")
    assert_ranked(predictor.predict(PLAIN, params=given, outputs="full"), truth)
    with pytest.raises(ParamsError, match="no place for the label"):
        predictor.predict(PLAIN, params={"hypothesis_template": "no place"})


def test_an_end_token_in_a_text_does_not_disturb_its_neighbours(classifier):
    """BART reads its answer at the last end token of each row, and its library refuses rows that differ in number."""
    data = [{"sequences": text, "candidate_labels": BOTH} for text in (PLAIN, "a </s> fine </s> film", "b", "</s>")]
    predictor = classifier("bart-mnli")
    alone = [predictor.predict(row, outputs="full")[0] for row in data]
    assert_ranked(predictor.predict(data, outputs="full"), alone)


def test_long_texts(classifier, pipeline_of):
    long = "a fine film " * 60
    data = [{"sequences": PLAIN, "candidate_labels": BOTH}, {"sequences": long, "candidate_labels": BOTH}]
    with pytest.raises(
        InputError, match=r"row 1: the text and the hypothesis .+ have \d+ tokens together and the model reads"
    ):
        classifier("bart-mnli").predict(data)
    pipe = pipeline_of("bart-mnli")
    truth = [pipe(row["sequences"], BOTH) for row in data]
    assert_ranked(classifier("bart-mnli", truncation=True).predict(data, outputs="full"), truth)


def test_a_hypothesis_that_leaves_no_room_is_refused(classifier):
    data = {"sequences": "a fine film", "candidate_labels": ["short", "long " * 60]}
    with pytest.raises(InputError, match="leaves no room for the text"):
        classifier("bart-mnli", truncation=True).predict(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([PLAIN, "b"], "row 0: no labels to choose from"),
        ([{"sequences": PLAIN, "candidate_labels": []}], "row 0: candidate_labels names no label"),
        ([{"sequences": PLAIN, "candidate_labels": " , "}], "names no label"),
        ([{"sequences": PLAIN, "candidate_labels": ["a", ""]}], "empty label"),
        ([{"sequences": PLAIN, "candidate_labels": ["a", 5]}], "must be a list of texts"),
        ([{"sequences": PLAIN, "candidate_labels": 5}], "must be a list of texts"),
        ([{"sequences": PLAIN, "candidate_labels": {"a": 1}}], "must be a list of texts"),
        ([{"sequences": "a", "candidate_labels": "b"}, {"sequences": None, "candidate_labels": "b"}], "row 1"),
        ([{"sequences": "a", "candidate_labels": "b"}, {"sequences": ["a"], "candidate_labels": "b"}], "row 1"),
        ([{"candidate_labels": "b"}], "'sequences' is missing"),
        ({"sequence": "a", "candidate_labels": "b"}, "did you mean 'sequence' to be 'sequences'"),
        ({"sequences": "a", "candidate_label": "b"}, "did you mean 'candidate_labels'"),
        ({"sequences": ["a", "b"], "candidate_labels": [["x"]]}, "one length"),
        ({"sequences": "a", "candidate_labels": "b", "hypothesis_template": "none"}, "no place for the label"),
        ({"sequences": "a", "candidate_labels": "b", "hypothesis_template": "{label}"}, "another field"),
        ({"sequences": "a", "candidate_labels": "b", "hypothesis_template": "{0.__class__}"}, "another field"),
        ({"sequences": "a", "candidate_labels": "b", "hypothesis_template": "{!r}"}, "another field"),
        ({"sequences": "a", "candidate_labels": "b", "hypothesis_template": "{"}, "cannot be read"),
        (None, "row 0"),
        (5, "row 0"),
        ([["a", "b"]], "row 0"),
    ],
)
def test_bad_input_is_refused(classifier, data, words):
    with pytest.raises(InputError, match=words):
        classifier("roberta-mnli").predict(data)


def test_no_rows_get_an_empty_answer_of_the_same_form(classifier):
    frame = classifier("roberta-mnli").predict([])
    assert list(frame.columns) == ["sequence", "labels", "scores"]
    assert len(frame) == 0


@pytest.mark.parametrize("text", ["5", "None", "'quoted'", "{'sequences': 'a'}", "{}"])
def test_text_is_never_evaluated(classifier, pipeline_of, text):
    data = {"sequences": text, "candidate_labels": ["None", "{}"]}
    truth = pipeline_of("roberta-mnli")(text, ["None", "{}"])
    assert_ranked(classifier("roberta-mnli").predict(data, outputs="full"), [truth])


def test_settings_that_cannot_work_are_refused(classifier):
    with pytest.raises(ParamsError, match="no place for the label"):
        classifier("roberta-mnli", hypothesis_template="none").predict([])
    with pytest.raises(ParamsError, match="names no label"):
        classifier("roberta-mnli", candidate_labels=",").predict([])
    with pytest.raises(ParamsError, match="multi_label"):
        classifier("roberta-mnli", multi_label="yes")


def test_a_model_without_an_entailment_label_is_refused_before_it_is_built(build, checkpoint):
    with pytest.raises(SpecError, match="begins with 'entail'") as caught:
        build(checkpoint("bert-sentiment"), "zero-shot-classification")
    assert "NEGATIVE, POSITIVE" in str(caught.value)


def test_a_decoder_without_a_padding_token_answers_rows_as_alone(build, tmp_path):
    import torch
    from transformers import GPT2Config, GPT2ForSequenceClassification

    from tests.checkpoints import vocabulary
    from tests.checkpoints.classifiers import labels

    words = vocabulary.gpt2(64)
    torch.manual_seed(3)
    names = labels(["contradiction", "neutral", "entailment"])
    config = GPT2Config(vocab_size=len(words), n_positions=64, n_embd=32, n_layer=2, n_head=4, **names)
    folder = tmp_path / "gpt2-nli"
    GPT2ForSequenceClassification(config).save_pretrained(folder)
    words.save_pretrained(folder)
    predictor = hfspec.load(build(folder, "zero-shot-classification"))
    model = GPT2ForSequenceClassification.from_pretrained(folder).eval()
    data = [{"sequences": text, "candidate_labels": ["a", "much longer label"]} for text in ("hello there", "a")]
    for row, mine in zip(data, predictor.predict(data, outputs="full"), strict=True):
        sentences = [f"This example is {label}." for label in row["candidate_labels"]]
        with torch.no_grad():
            truth = [
                model(**words(row["sequences"], sentence, return_tensors="pt")).logits[0, 2] for sentence in sentences
            ]
        scores = dict(zip(row["candidate_labels"], torch.stack(truth).softmax(0).tolist(), strict=True))
        assert dict(zip(mine["labels"], mine["scores"], strict=True)) == pytest.approx(scores, abs=1e-5)


def test_the_artifact_s_own_command_answers_json(build, checkpoint, pipeline_of):
    folder = build(checkpoint("bart-mnli"), "zero-shot-classification")
    data = [{"sequences": PLAIN, "candidate_labels": BOTH}, {"sequences": "b", "candidate_labels": "x,y,z"}]
    done = interpreters.run(
        [sys.executable, folder / "predictor.py", "--json", "-"],
        input=json.dumps(data),
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    pipe = pipeline_of("bart-mnli")
    truth = [
        (found["sequence"], label, pytest.approx(score, abs=1e-5))
        for found in (pipe(PLAIN, BOTH), pipe("b", "x,y,z"))
        for label, score in zip(found["labels"], found["scores"], strict=True)
    ]
    assert [(row["sequence"], row["labels"], row["scores"]) for row in json.loads(done.stdout)] == truth
