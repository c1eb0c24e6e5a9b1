"""A checkpoint of another kind than the task needs is refused before anything is written."""

from __future__ import annotations

import json

import pytest

import hfspec
from tests.compiling import change_json, refusal, write_spec

MADE_FOR = {
    "minilm-like": ("a model of dense embeddings", "feature-extraction"),
    "st-dense": ("a model of dense embeddings", "feature-extraction"),
    "splade": ("a sparse encoder", "sparse-embedding"),
    "splade-sum": ("a sparse encoder", "sparse-embedding"),
    "ce-msmarco": ("a cross-encoder", "text-ranking"),
    "ce-modules": ("a cross-encoder", "text-ranking"),
    "roberta-stsb": ("a cross-encoder", "text-ranking"),
}
TASKS = ("feature-extraction", "sparse-embedding", "text-ranking")


@pytest.mark.parametrize(
    ("name", "task"), [(name, task) for name, (_, mine) in MADE_FOR.items() for task in TASKS if task != mine]
)
def test_another_kind_is_refused_by_name(spec_for, name, task):
    kind, made_for = MADE_FOR[name]
    (problem,) = refusal(spec_for(name, library="sentence-transformers", task=task)).problems
    assert problem.code == "task-not-possible"
    assert problem.path == ("task",)
    assert problem.message.startswith(f"the checkpoint is {kind}")
    assert f"{task} needs" in problem.message
    assert made_for in problem.remedy


def test_a_multi_vector_encoder_is_none_of_them(own_copy, tmp_path):
    model = own_copy("minilm-like")
    change_json(model / "config_sentence_transformers.json", model_type="MultiVectorEncoder")
    spec = write_spec(tmp_path / "s", model, library="sentence-transformers", task="feature-extraction")
    assert "a multi-vector encoder" in str(refusal(spec))


@pytest.mark.parametrize("task", ["text-ranking", "sparse-embedding"])
def test_an_encoder_alone_is_none_of_them(own_copy, tmp_path, task):
    model = own_copy("minilm-like")
    for name in ("modules.json", "config_sentence_transformers.json"):
        (model / name).unlink()
    text = str(refusal(write_spec(tmp_path / "s", model, library="sentence-transformers", task=task)))
    assert ("no classification head" if task == "text-ranking" else "no modules.json") in text


def test_a_masked_language_model_alone_is_no_sparse_encoder(spec_for):
    spec = spec_for("distilbert-mlm", library="sentence-transformers", task="sparse-embedding")
    assert "no modules.json" in str(refusal(spec))


@pytest.mark.parametrize("kind", ["sparse_encoder.models.SparseAutoEncoder", "base.modules.router.Router"])
def test_modules_that_hfspec_cannot_run_are_refused(own_copy, tmp_path, kind):
    model = own_copy("splade")
    modules = json.loads((model / "modules.json").read_text())
    modules[1]["type"] = f"sentence_transformers.{kind}"
    (model / "modules.json").write_text(json.dumps(modules))
    spec = write_spec(tmp_path / "s", model, library="sentence-transformers", task="sparse-embedding")
    (problem,) = refusal(spec).problems
    assert problem.code == "not-supported-yet"
    assert "SpladePooling" in problem.expected


def test_a_cross_encoder_that_reads_a_language_models_logits_is_refused(own_copy, tmp_path):
    model = own_copy("ce-modules")
    modules = json.loads((model / "modules.json").read_text())
    modules.append({"idx": 1, "name": "1", "path": "1_LogitScore", "type": "sentence_transformers.x.LogitScore"})
    (model / "modules.json").write_text(json.dumps(modules))
    spec = write_spec(tmp_path / "s", model, library="sentence-transformers", task="text-ranking")
    assert "a sequence classifier alone" in str(refusal(spec))


def test_the_plan_shows_what_the_checkpoint_says_of_the_settings(spec_for):
    spec = spec_for("splade-sum", library="sentence-transformers", task="sparse-embedding")
    rows = {row.key: (row.value, row.origin) for row in hfspec.plan(spec).settings}
    assert rows["max_active_dims"] == (40, "config_sentence_transformers.json")
    assert rows["prompt_name"] == ("document", "config_sentence_transformers.json")
    over = {row.key: row.value for row in hfspec.plan(spec, ["model_config.max_active_dims=3"]).settings}
    assert over["max_active_dims"] == 3


def test_the_plan_says_which_prompt_a_role_takes_where_the_library_takes_none(own_copy, tmp_path):
    model = own_copy("st-dense")
    change_json(model / "config_sentence_transformers.json", prompts={"query": "q: ", "passage": "p: "})
    keys = {"library": "sentence-transformers", "task": "feature-extraction", "model_config": {"role": "document"}}
    (note,) = [note for note in hfspec.plan(write_spec(tmp_path / "s", model, **keys)).notes if "role" in note]
    assert "'passage'" in note
