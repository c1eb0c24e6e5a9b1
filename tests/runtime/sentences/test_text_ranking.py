"""Scores equal those of CrossEncoder.predict and CrossEncoder.rank on the same folder."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import hfspec
from hfspec.errors import InputError, ParamsError, SpecError
from tests.checkpoints.cross_encoders import change_json
from tests.runtime.texts import MIXED, PLAIN, shuffled

KINDS = ["ce-msmarco", "ce-modules", "ce-nli", "ce-template", "ce-parts", "roberta-stsb"]
QUERY = "who bought the house on the hill"
PAIRS = [*zip(shuffled(MIXED, 1), shuffled(MIXED, 2), strict=True), (QUERY, "word " * 300), ("word " * 300, PLAIN)]


def predict(folder, pairs, **settings):
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), device="cpu")
    model.max_seq_length = min(model.max_seq_length, 128)  # positions that RoBERTa does not have
    return np.stack([model.predict([pair], **settings)[0] for pair in pairs])


def assert_same(mine, truth):
    assert mine.dtype == np.float32
    assert mine.shape == truth.shape
    np.testing.assert_allclose(mine, truth, atol=1e-5)


@pytest.fixture
def loaded(build, checkpoint):
    def get(name, model_config=None, **keys):
        return hfspec.load(build(checkpoint(name), "text-ranking", **keys), model_config=model_config)

    return get


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("batch_tokens", [1, 300, 100_000])
def test_scores_equal_predict_in_any_batch(loaded, checkpoint, name, batch_tokens):
    pairs = [*PAIRS, PAIRS[0]]
    assert_same(loaded(name, {"batch_tokens": batch_tokens}).predict(pairs), predict(checkpoint(name), pairs))


def test_every_form_of_input_is_the_same_pairs(loaded, checkpoint):
    import pandas as pd

    pairs = PAIRS[:4]
    truth = predict(checkpoint("ce-msmarco"), pairs)
    predictor = loaded("ce-msmarco")
    rows = [{"query": query, "document": document} for query, document in pairs]
    columns = {"query": [query for query, _ in pairs], "document": [document for _, document in pairs]}
    frame = pd.DataFrame({"id": range(4), "document": columns["document"], "query": columns["query"]})
    for data in (pairs, [list(pair) for pair in pairs], rows, columns, frame, np.array(pairs, dtype=object)):
        assert_same(predictor.predict(data), truth)
    assert_same(predictor.predict(rows[0]), truth[:1])
    assert predictor.predict_json(rows) == pytest.approx(truth.tolist(), abs=1e-5)


@pytest.mark.parametrize("name", ["ce-msmarco", "ce-modules", "roberta-stsb"])
def test_a_query_with_documents_is_ranked(loaded, checkpoint, name):
    from sentence_transformers import CrossEncoder

    documents = [*shuffled(MIXED, 5), "word " * 30, MIXED[3]]
    truth = CrossEncoder(str(checkpoint(name)), device="cpu").rank(QUERY, documents, return_documents=True)
    row = {"query": QUERY, "documents": documents}
    settings = {"return_documents": True}
    (answer,) = loaded(name, settings).predict(row, outputs="full")
    ranking = answer["ranking"]
    assert sorted(entry["corpus_id"] for entry in ranking) == list(range(len(documents)))
    assert [entry["text"] for entry in ranking] == [documents[entry["corpus_id"]] for entry in ranking]
    assert [entry["score"] for entry in ranking] == pytest.approx([entry["score"] for entry in truth], abs=1e-5)
    scores = {entry["corpus_id"]: entry["score"] for entry in truth}
    assert [scores[entry["corpus_id"]] for entry in ranking] == pytest.approx(sorted(scores.values())[::-1], abs=1e-5)
    (best,) = loaded(name, {"top_k": 2}).predict(row, outputs="full")
    assert [entry["corpus_id"] for entry in best["ranking"]] == [entry["corpus_id"] for entry in ranking[:2]]
    assert "text" not in best["ranking"][0]
    assert_same(loaded(name).predict(row), np.array([scores[place] for place in range(len(documents))], np.float32))


def test_several_queries_with_documents_get_an_answer_each(loaded, checkpoint):
    rows = [
        {"query": QUERY, "documents": ["a", PLAIN, "a"]},
        {"query": "b", "documents": []},
        {"query": QUERY, "documents": np.array(["c", "word " * 40], dtype=object)},
    ]
    predictor = loaded("ce-msmarco", {"batch_tokens": 1})
    answer = predictor.predict(rows)
    assert [len(row) for row in answer] == [3, 0, 2]
    for row, mine in zip(rows, answer, strict=True):
        if len(row["documents"]):
            pairs = [(row["query"], document) for document in row["documents"]]
            assert_same(mine, predict(checkpoint("ce-msmarco"), pairs))
    assert [len(row["ranking"]) for row in predictor.predict(rows, outputs="full")] == [3, 0, 2]
    assert predictor.predict({"query": "b", "documents": []}).shape == (0,)


@pytest.mark.parametrize("function", ["identity", "sigmoid", "tanh"])
def test_the_activation_can_be_chosen(loaded, checkpoint, function):
    import torch

    module = {"identity": torch.nn.Identity, "sigmoid": torch.nn.Sigmoid, "tanh": torch.nn.Tanh}[function]()
    truth = predict(checkpoint("ce-nli"), PAIRS[:5], activation_fn=module)
    assert_same(loaded("ce-nli", {"activation_fn": function}).predict(PAIRS[:5]), truth)


def test_softmax_over_the_labels(loaded, checkpoint):
    truth = predict(checkpoint("ce-nli"), PAIRS[:5], apply_softmax=True)
    mine = loaded("ce-nli", {"apply_softmax": True}).predict(PAIRS[:5])
    assert_same(mine, truth)
    np.testing.assert_allclose(mine.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    "stated",
    [
        {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Tanh"}},
        {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"},
        {"sentence_transformers": {"activation_fn": "torch.nn.Tanh"}, "sbert_ce_default_activation_function": "x.Y"},
        {"sentence_transformers": {"activation_fn": "mine.Activation"}},
        {},
    ],
    ids=str,
)
def test_the_checkpoint_says_its_activation_as_any_version_wrote_it(build, checkpoint, tmp_path, stated):
    folder = shutil.copytree(checkpoint("roberta-stsb"), tmp_path / "stated")
    change_json(folder / "config.json", **stated)
    assert_same(hfspec.load(build(folder, "text-ranking")).predict(PAIRS[:4]), predict(folder, PAIRS[:4]))


@pytest.mark.parametrize("settings", [{"prompt_name": "web"}, {"prompt": "instruct: "}, {"prompt": ""}], ids=str)
def test_prompts_go_before_the_query(loaded, checkpoint, settings):
    truth = predict(checkpoint("ce-modules"), PAIRS, **settings)
    assert_same(loaded("ce-modules", settings).predict(PAIRS), truth)


def test_the_checkpoints_own_prompt_is_the_default(loaded):
    predictor = loaded("ce-modules")
    assert predictor.settings()["prompt_name"] == ("code", "checkpoint")
    with pytest.raises(ParamsError, match="'query' is not one of the model's prompts; they are: code, web"):
        loaded("ce-modules", {"prompt_name": "query"}).predict(PAIRS[:1])


@pytest.mark.parametrize("max_length", [8, 20, 10_000])
def test_max_length_cuts_the_longer_text_first(loaded, checkpoint, max_length):
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(checkpoint("ce-msmarco")), device="cpu", max_length=min(max_length, 128))
    predictor = loaded("ce-msmarco", {"max_length": max_length})
    assert_same(predictor.predict(PAIRS), model.predict(PAIRS))


def test_full_output_says_what_was_cut(loaded, checkpoint):
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(str(checkpoint("ce-msmarco")))
    lengths = [len(ids) for ids in words(*map(list, zip(*PAIRS, strict=True)), verbose=False)["input_ids"]]
    answer = loaded("ce-msmarco").predict(PAIRS, outputs="full")
    assert [row["tokens"] for row in answer] == [min(length, 128) for length in lengths]
    assert [row["truncated"] for row in answer] == [length > 128 for length in lengths]
    truth = predict(checkpoint("ce-msmarco"), PAIRS)
    assert [row["score"] for row in answer] == pytest.approx(truth.tolist(), abs=1e-5)
    labels = loaded("ce-nli").predict(PAIRS[:2], outputs="full")
    assert [row["labels"] for row in labels] == [["contradiction", "entailment", "neutral"]] * 2
    assert_same(np.stack([row["scores"] for row in labels]), predict(checkpoint("ce-nli"), PAIRS[:2]))


def test_no_pairs_get_an_empty_array(loaded):
    assert loaded("ce-msmarco").predict([]).shape == (0,)
    assert loaded("ce-nli").predict([]).shape == (0, 3)
    assert loaded("ce-nli").predict([], outputs="full") == []


def test_the_signature_says_how_many_scores(loaded):
    assert loaded("ce-msmarco").signature.outputs.shape == (-1,)
    assert loaded("ce-nli").signature.outputs.shape == (-1, 3)


@pytest.mark.parametrize(
    ("data", "row", "said"),
    [
        (["a", "b"], 0, "nothing to put beside it"),
        ([("a", "b"), {"query": "a"}], 1, "give document"),
        ([("a", "b"), ("a", None)], 1, None),
        ([("a", "b"), ("a", 5)], 1, "expected text"),
        ([{"query": "a", "document": "b", "documents": ["c"]}], 0, "both document and documents"),
        ([{"query": "a", "documents": "b"}], 0, "expected a list of texts"),
        ([{"query": "a", "documents": ["b", None]}], 0, r"documents\[1\]"),
        ([{"query": "a", "documents": ["b"]}, ("a", "b")], 1, "all have document, or all have documents"),
        ([("a", "b"), ("a", "b", "c")], 1, "expected one value"),
        ([{"querry": "a", "document": "b"}], 0, "querry"),
    ],
    ids=str,
)
def test_bad_input_names_the_row(loaded, data, row, said):
    with pytest.raises(InputError, match=said) as caught:
        loaded("ce-msmarco").predict(data)
    assert caught.value.row == row


def test_several_labels_rank_nothing(loaded):
    with pytest.raises(InputError, match="this model gives 3"):
        loaded("ce-nli").predict({"query": "a", "documents": ["b"]})


@pytest.mark.parametrize("text", ["5", "None", "'quoted'", '["a", "b"]'])
def test_text_is_never_evaluated(loaded, checkpoint, text):
    truth = predict(checkpoint("ce-msmarco"), [(text, text)])
    assert_same(loaded("ce-msmarco").predict([(text, text)]), truth)


def test_a_saved_cross_encoder_answers_with_scores(build, checkpoint, tmp_path):
    """Saved by the library's own save, it is a cross-encoder still: a score a pair and no embedding."""
    from sentence_transformers import CrossEncoder

    folder = tmp_path / "saved"
    CrossEncoder(str(checkpoint("ce-msmarco")), device="cpu").save_pretrained(str(folder), create_model_card=False)
    (folder / "LICENSE").write_text("free\n")
    assert json.loads((folder / "config_sentence_transformers.json").read_text())["model_type"] == "CrossEncoder"
    assert_same(hfspec.load(build(folder, "text-ranking")).predict(PAIRS[:3]), predict(folder, PAIRS[:3]))


@pytest.mark.parametrize("name", ["ce-template", "ce-parts"])
def test_pairs_and_prompts_go_through_the_chat_template(loaded, checkpoint, name):
    pairs = [("a fine film", "the story is good"), ("rain in london", "word " * 300)]
    for prompt in (None, "search"):
        answer = loaded(name, {"prompt": prompt or ""}).predict(pairs)
        assert_same(answer, predict(checkpoint(name), pairs, prompt=prompt or ""))
    (first, second) = loaded(name).predict(pairs, outputs="full")
    assert (first["truncated"], second["truncated"]) == (False, True)


FORWARD = {"method": "forward", "method_output_name": "logits"}
OLDER = {"max_seq_length": 48, "transformer_task": "sequence-classification"}
CURRENT = {**OLDER, "module_output_name": "scores"}


@pytest.mark.parametrize(
    "transformer",
    [
        OLDER,
        {**CURRENT, "modality_config": {"text": FORWARD}},
        {**CURRENT, "modality_config": {"text": FORWARD, "message": FORWARD}},
        {**CURRENT, "modality_config": {"text": FORWARD, "message": {**FORWARD, "format": "auto"}}},
    ],
    ids=["older", "text", "message", "auto"],
)
def test_a_saved_cross_encoder_says_whether_its_template_is_used(build, checkpoint, tmp_path, transformer):
    from tests.checkpoints.cross_encoders import ROLES_TEMPLATE

    shutil.copytree(checkpoint("ce-modules"), tmp_path / "ce")
    (tmp_path / "ce" / "chat_template.jinja").write_text(ROLES_TEMPLATE, encoding="utf-8")
    (tmp_path / "ce" / "sentence_bert_config.json").write_text(json.dumps(transformer), encoding="utf-8")
    pairs = [("a fine film", "the story is good"), ("rain in london", "word " * 300)]
    assert_same(hfspec.load(build(tmp_path / "ce", "text-ranking")).predict(pairs), predict(tmp_path / "ce", pairs))


@pytest.mark.parametrize("missing", ["modules.json", "config_sentence_transformers.json"])
def test_what_is_beside_a_classifier_that_was_not_saved_as_one_is_passed_over(build, checkpoint, tmp_path, missing):
    """Neither the prompts, nor the activation, nor the length, nor the template's modality."""
    from tests.checkpoints.cross_encoders import ROLES_TEMPLATE

    shutil.copytree(checkpoint("ce-modules"), tmp_path / "ce")
    (tmp_path / "ce" / "chat_template.jinja").write_text(ROLES_TEMPLATE, encoding="utf-8")
    (tmp_path / "ce" / missing).unlink()
    pairs = [("a fine film", "the story is good"), ("rain in london", "word " * 300)]
    assert_same(hfspec.load(build(tmp_path / "ce", "text-ranking")).predict(pairs), predict(tmp_path / "ce", pairs))
    with pytest.raises(SpecError, match="'web'"):
        build(tmp_path / "ce", "text-ranking", model_config={"prompt_name": "web"})


def test_a_saved_cross_encoder_that_states_no_task_is_refused_as_the_library_fails(build, checkpoint, tmp_path):
    shutil.copytree(checkpoint("ce-modules"), tmp_path / "ce")
    (tmp_path / "ce" / "sentence_bert_config.json").write_text('{"max_seq_length": 48}', encoding="utf-8")
    with pytest.raises(SpecError, match="how to run these modules, or a setting"):
        build(tmp_path / "ce", "text-ranking")
    with pytest.raises(KeyError, match="scores"):
        predict(tmp_path / "ce", [("a", "b")])


def test_a_template_that_refuses_a_prompt_is_named_with_the_row(build, tmp_path):
    from tests.checkpoints.cross_encoders import ROLES_TEMPLATE, templated

    (tmp_path / "ce").mkdir()
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
    templated(tmp_path / "ce", refuses + ROLES_TEMPLATE)
    folder = build(tmp_path / "ce", "text-ranking")
    assert_same(hfspec.load(folder).predict([("a", "b")]), predict(tmp_path / "ce", [("a", "b")]))
    with pytest.raises(InputError, match=r"cannot carry .* and a prompt.*no system here"):
        hfspec.load(folder, model_config={"prompt": "search: "}).predict([("a", "b")])


def test_a_template_beside_a_text_only_module_is_passed_over(build, checkpoint, tmp_path):
    shutil.copytree(checkpoint("ce-modules"), tmp_path / "ce")
    (tmp_path / "ce" / "chat_template.jinja").write_text("{{ messages[0].content }}", encoding="utf-8")
    pairs = [("a fine film", "the story is good")]
    answer = hfspec.load(build(tmp_path / "ce", "text-ranking")).predict(pairs)
    assert_same(answer, predict(tmp_path / "ce", pairs))


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}", "query and the doc"),
        ("{% for m in messages %}{% if m.role == 'query' %}{{ m.content }}{% endif %}{% endfor %}", "out the document"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages[0].content | nothing }}", "fails with"),
        ("{% for m in messages %}", "fails with"),
    ],
)
def test_a_template_that_cannot_carry_a_pair_is_refused_at_plan(build, tmp_path, template, reason):
    from tests.checkpoints.cross_encoders import templated

    (tmp_path / "ce").mkdir()
    templated(tmp_path / "ce", template)
    with pytest.raises(SpecError) as caught:
        build(tmp_path / "ce", "text-ranking")
    assert [problem.code for problem in caught.value.problems] == ["broken-chat-template"]
    assert reason in caught.value.problems[0].message
    with pytest.raises(ValueError, match="cannot carry a"):
        predict(tmp_path / "ce", [("a", "b")])
