"""A head that was trained for something else is refused though its tensors fit; heads that are only dropped are not."""

from __future__ import annotations

import pytest
import torch

import hfspec
from tests.compiling import change_json, change_tensors, refusal, write_spec

SENTENCES = "sentence-transformers"
# A checkpoint, its task, and a head whose tensors have the names and shapes of the task's.
FITTING = [
    ("bert-toxic", "token-classification", "BertForSequenceClassification"),
    ("bert-toxic", "ner", "BertForSequenceClassification"),
    ("bert-ner", "text-classification", "BertForTokenClassification"),
    ("bert-regression", "text-classification", "BertForMultipleChoice"),
    ("bert-nli", "zero-shot-classification", "BertForTokenClassification"),
    ("bert-mlm", "fill-mask", "BertLMHeadModel"),
    ("roberta-mlm", "fill-mask", "RobertaForCausalLM"),
    ("gpt2", "text-generation", "GPT2ForSequenceClassification"),
    ("gpt2", "text-generation", "GPT2ForTokenClassification"),
    ("llama-chat", "llm/v1/chat", "LlamaForSequenceClassification"),
    ("bert-sentiment", "text-classification", "FromElsewhere"),
    ("bert-sentiment", "text-classification", "TFDistilBertForTokenClassification"),
]
ALLOWED = [
    ("bert-toxic", "text-classification", "TFBertForSequenceClassification"),
    ("bert-toxic", "text-classification", "BertModel"),
    ("bert-toxic", "text-classification", "BertForMultiLabelSequenceClassification"),
    ("bert-nli", "zero-shot-classification", "BertForSequenceClassification"),
    ("bert-mlm", "fill-mask", "BertForPreTraining"),
    ("gpt2", "text-generation", "GPT2Model"),
    ("gpt2", "text-generation", "GPT2DoubleHeadsModel"),
    ("llama-chat", "text-generation", "LLaMAForCausalLM"),
]


@pytest.mark.parametrize(("name", "task", "stated"), FITTING)
def test_another_head_is_refused(own_copy, tmp_path, name, task, stated):
    model = own_copy(name)
    change_json(model / "config.json", architectures=[stated])
    (problem,) = refusal(write_spec(tmp_path / "s", model, task=task)).problems
    assert (problem.code, problem.path) == ("task-not-possible", ("task",))
    assert stated.removeprefix("TF") in problem.message
    assert "allow_architecture_mismatch" in problem.remedy


@pytest.mark.parametrize(("name", "task", "stated"), ALLOWED)
def test_other_names_of_a_head_that_can_do_the_task(own_copy, tmp_path, name, task, stated):
    model = own_copy(name)
    change_json(model / "config.json", architectures=[stated])
    assert hfspec.plan(write_spec(tmp_path / "s", model, task=task))


@pytest.mark.parametrize("stated", [None, []])
def test_a_config_that_names_no_architecture(own_copy, tmp_path, stated):
    model = own_copy("bert-toxic")
    change_json(model / "config.json", architectures=stated)
    assert hfspec.plan(write_spec(tmp_path / "s", model))


@pytest.mark.parametrize("stated", ["BertForMaskedLM", "BertForTokenClassification", "BertLMHeadModel"])
@pytest.mark.parametrize("task", ["feature-extraction", "llm/v1/embeddings"])
def test_an_encoder_may_drop_any_head(own_copy, tmp_path, stated, task):
    model = own_copy("bert-mlm")
    change_json(model / "config.json", architectures=[stated])
    spec = write_spec(tmp_path / "s", model, library="transformers", task=task)
    assert hfspec.plan(spec).deployment.model_class == "BertModel"


@pytest.mark.parametrize(
    "stated", ["ColModernVBertForRetrieval", "ColQwen2ForRetrieval", "CLIPTextModelWithProjection"]
)
def test_a_head_that_makes_the_embeddings_is_not_dropped(own_copy, tmp_path, stated):
    model = own_copy("minilm-like")
    change_json(model / "config.json", architectures=[stated])
    for library, task in (("transformers", "feature-extraction"), (SENTENCES, "llm/v1/embeddings")):
        (problem,) = refusal(write_spec(tmp_path / "s", model, library=library, task=task)).problems
        assert (problem.code, stated in problem.message) == ("task-not-possible", True)


@pytest.mark.parametrize("library", ["transformers", SENTENCES])
def test_an_encoder_of_another_kind_is_refused(own_copy, tmp_path, library):
    model = own_copy("minilm-like")
    change_json(model / "config.json", architectures=["HF_ColBERT"])
    change_tensors(model, lambda tensors: tensors.update({"linear.weight": torch.ones(8, 32)}))
    spec = write_spec(tmp_path / "s", model, library=library, task="llm/v1/embeddings")
    (problem,) = refusal(spec).problems
    assert "HF_ColBERT" in problem.message
    assert "linear.weight" in problem.message


def test_a_reason_is_told_and_a_needless_one_too(own_copy, tmp_path):
    model = own_copy("bert-toxic")
    reason = {"allow_architecture_mismatch": "trained on tokens, saved by another class"}
    plan = hfspec.plan(write_spec(tmp_path / "s", model, task="ner", **reason))
    assert plan.deployment.model_class == "BertForTokenClassification"
    assert any("BertForSequenceClassification" in note and "saved by another class" in note for note in plan.notes)
    needless = hfspec.plan(write_spec(tmp_path / "t", model, **reason))
    assert any("allow_architecture_mismatch is not needed" in note for note in needless.notes)


@pytest.mark.parametrize("reason", ["", True, 3])
def test_a_reason_is_a_text(spec_for, reason):
    (problem,) = refusal(spec_for("bert-toxic", allow_architecture_mismatch=reason)).problems
    assert problem.path == ("allow_architecture_mismatch",)


@pytest.mark.parametrize("name", ["gpt2", "llama-chat", "bert-mlm", "bert-ner"])
def test_a_ranker_says_what_the_checkpoint_is(spec_for, checkpoint, name):
    (problem,) = refusal(spec_for(name, library=SENTENCES, task="text-ranking")).problems
    assert problem.code == "task-not-possible"
    assert {"gpt2": "GPT2LMHeadModel", "llama-chat": "LlamaForCausalLM"}.get(name, "Bert") in problem.message
    assert "missing" not in problem.message
