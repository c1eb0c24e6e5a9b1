"""Labels and scores equal those of the library's own pipeline, one row at a time."""

from __future__ import annotations

import pytest

import hfspec
from hfspec.errors import InputError, ParamsError
from tests.checkpoints import vocabulary
from tests.runtime.texts import MIXED, PLAIN, shuffled

KINDS = ["bert-sentiment", "bert-toxic", "bert-regression", "roberta-stsb", "roberta-mnli"]


def pipeline_of(folder):
    from transformers import pipeline

    return pipeline("text-classification", str(folder), device="cpu")


def assert_scores(answer, truth):
    """``answer`` full output, ``truth`` the pipeline's list of dicts for each row."""
    assert len(answer) == len(truth)
    for mine, row in zip(answer, truth, strict=True):
        assert mine["labels"] == [entry["label"] for entry in row]
        assert mine["scores"] == pytest.approx([entry["score"] for entry in row], abs=1e-5)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("batch_tokens", [1, 64, 100_000])
def test_every_label_and_score_as_the_pipeline_says(artifact, checkpoint, name, batch_tokens):
    texts = shuffled(MIXED, seed=batch_tokens)
    pipe = pipeline_of(checkpoint(name))
    answer = hfspec.load(artifact(name), model_config={"batch_tokens": batch_tokens}).predict(texts, outputs="full")
    assert_scores(answer, [pipe(text, top_k=None) for text in texts])


def test_the_standard_form_is_the_best_label_of_each_row(artifact, checkpoint):
    import pandas as pd

    pipe = pipeline_of(checkpoint("roberta-mnli"))
    frame = hfspec.load(artifact("roberta-mnli")).predict(list(MIXED))
    assert list(frame.columns) == ["label", "score"]
    assert frame["score"].dtype == "float64"
    assert isinstance(frame, pd.DataFrame)
    truth = [pipe(text)[0] for text in MIXED]
    assert frame["label"].tolist() == [entry["label"] for entry in truth]
    assert frame["score"].tolist() == pytest.approx([entry["score"] for entry in truth], abs=1e-5)


@pytest.mark.parametrize("top_k", [2, None])
def test_several_labels_a_row_say_which_row(artifact, checkpoint, top_k):
    texts = [PLAIN, "another", PLAIN]
    pipe = pipeline_of(checkpoint("roberta-mnli"))
    frame = hfspec.load(artifact("roberta-mnli", model_config={"top_k": top_k})).predict(texts)
    truth = [(row, entry["label"]) for row, text in enumerate(texts) for entry in pipe(text, top_k=top_k)]
    assert list(frame.columns) == ["row", "label", "score"]
    assert list(zip(frame["row"], frame["label"], strict=True)) == truth


@pytest.mark.parametrize("function", ["sigmoid", "softmax", "none"])
def test_the_function_can_be_chosen(artifact, checkpoint, function):
    pipe = pipeline_of(checkpoint("bert-toxic"))
    predictor = hfspec.load(artifact("bert-toxic", model_config={"function_to_apply": function}))
    assert_scores(predictor.predict([PLAIN], outputs="full"), [pipe(PLAIN, top_k=None, function_to_apply=function)])


def test_pairs_are_kept_as_pairs(artifact, checkpoint):
    pairs = [("a man eats", "a man is eating"), ("one", ""), (PLAIN, "word " * 30), ("x", "y")]
    pipe = pipeline_of(checkpoint("roberta-mnli"))
    truth = [pipe({"text": text, "text_pair": pair}, top_k=None) for text, pair in pairs]
    predictor = hfspec.load(artifact("roberta-mnli"))
    as_dicts = [{"text": text, "text_pair": pair} for text, pair in pairs]
    assert_scores(predictor.predict(as_dicts, outputs="full"), truth)
    assert_scores(predictor.predict(pairs, outputs="full"), truth)


def test_pairs_and_single_texts_may_come_together(artifact, checkpoint):
    rows = [{"text": "a", "text_pair": "b"}, {"text": "a"}, {"text": "c", "text_pair": None}, {"text": "d e"}]
    pipe = pipeline_of(checkpoint("roberta-stsb"))
    truth = [pipe({key: value for key, value in row.items() if value is not None}, top_k=None) for row in rows]
    assert_scores(hfspec.load(artifact("roberta-stsb")).predict(rows, outputs="full"), truth)


@pytest.mark.parametrize("name", ["bert-sentiment", "roberta-mnli"])
def test_a_text_of_just_the_limit_is_read_and_one_more_token_is_refused(artifact, checkpoint, name):
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(str(checkpoint(name)))
    text = "a"
    while len(words(text + " a")["input_ids"]) <= 128:
        text += " a"
    predictor = hfspec.load(artifact(name))
    answer = predictor.predict([text], outputs="full")
    assert answer[0]["tokens"] == 128
    assert_scores(answer, [pipeline_of(checkpoint(name))(text, top_k=None)])
    with pytest.raises(InputError) as caught:
        predictor.predict([PLAIN, text + " a"])
    assert caught.value.row == 1
    assert "129 tokens" in str(caught.value)
    assert "at most 128" in str(caught.value)
    assert "truncation: true" in str(caught.value)


def test_truncation_cuts_what_is_too_long(artifact, checkpoint):
    text = "word " * 400
    pipe = pipeline_of(checkpoint("bert-sentiment"))
    predictor = hfspec.load(artifact("bert-sentiment", model_config={"truncation": True}))
    answer = predictor.predict([text, PLAIN], outputs="full")
    assert_scores(answer, [pipe(text, top_k=None, truncation=True), pipe(PLAIN, top_k=None)])
    assert answer[0]["tokens"] == 128


@pytest.mark.parametrize("text", ["5", "None", "'quoted'", "{'text': 'a', 'text_pair': 'b'}", "-" * 50 + "1"])
def test_text_is_never_evaluated(artifact, checkpoint, text):
    pipe = pipeline_of(checkpoint("bert-sentiment"))
    assert_scores(hfspec.load(artifact("bert-sentiment")).predict(text, outputs="full"), [pipe(text, top_k=None)])


def test_no_rows_get_an_empty_answer_of_the_same_form(artifact):
    predictor = hfspec.load(artifact("bert-sentiment"))
    frame = predictor.predict([])
    assert list(frame.columns) == ["label", "score"]
    assert len(frame) == 0
    assert frame["score"].dtype == "float64"
    assert predictor.predict([], outputs="full") == []


def test_rows_share_forward_passes_and_are_padded_to_like_lengths(artifact):
    predictor = hfspec.load(artifact("bert-sentiment", model_config={"batch_tokens": 256}))
    shapes = []
    model = predictor._runner.model
    model.register_forward_pre_hook(lambda _, args, inputs: shapes.append(inputs["input_ids"].shape), with_kwargs=True)
    texts = shuffled(("a " * 60, "a " * 6) * 8)
    answer = predictor.predict(texts, outputs="full")
    tokens = sum(row["tokens"] for row in answer)
    padded = sum(rows * width for rows, width in shapes)
    assert len(shapes) < len(texts) / 2
    assert all(rows * width <= 256 for rows, width in shapes)
    assert padded <= 1.5 * tokens


@pytest.mark.parametrize("padding", [None, "left", "right"])
def test_a_decoder_answers_rows_as_alone_however_it_is_padded(build, tmp_path, padding):
    import torch
    from transformers import GPT2Config, GPT2ForSequenceClassification

    words = vocabulary.gpt2(64)
    torch.manual_seed(3)
    config = GPT2Config(vocab_size=len(words), n_positions=64, n_embd=32, n_layer=2, n_head=4, num_labels=3)
    if padding:
        config.pad_token_id = words.eos_token_id
        words.pad_token, words.padding_side = words.eos_token, padding
    folder = tmp_path / "gpt2-classifier"
    GPT2ForSequenceClassification(config).save_pretrained(folder)
    words.save_pretrained(folder)
    texts = ["hello there", "a", "some longer text than that", "a", "b"]
    pipe = pipeline_of(folder)
    predictor = hfspec.load(build(folder, "text-classification"))
    answer = predictor.predict(texts, outputs="full")
    assert_scores(answer, [pipe(text, top_k=None) for text in texts])


def test_a_param_that_the_model_cannot_follow_is_refused(artifact):
    predictor = hfspec.load(artifact("bert-sentiment", signature={"params": {"top_k": 1}}))
    with pytest.raises(ParamsError, match=r"top_k: expected .*at least 1"):
        predictor.predict(PLAIN, params={"top_k": 0})
    assert len(predictor.predict(PLAIN, params={"top_k": None})) == 2
