"""What cannot be run is refused before anything is written; what can is planned from headers alone."""

from __future__ import annotations

import json
import pickle

import pytest
from safetensors.torch import load_file

import hfspec
from tests.compiling import change_json, change_tensors, refusal, write_spec


def test_head_missing(spec_for):
    error = refusal(spec_for("without-head"))
    (problem,) = error.problems
    assert problem.path == ("model",)
    assert problem.origin.line == 4
    assert "no classification head" in problem.message
    assert "classifier.weight" in problem.message
    assert "at random" in problem.message


def test_head_of_another_shape(spec_for):
    error = refusal(spec_for("wrong-head-shape"))
    assert {problem.message.split()[1] for problem in error.problems} == {"classifier.weight", "classifier.bias"}
    assert "[2, 32]" in str(error)
    assert "[5, 32]" in str(error)
    assert "config.json names 2 labels (id2label), the checkpoint's head has 5" in str(error)


def test_vocabulary_larger_than_the_embedding(spec_for):
    text = str(refusal(spec_for("vocab-larger-than-embedding")))
    assert "211" in text
    assert "204 rows" in text


def test_no_tokenizer(spec_for):
    assert "has no tokenizer" in str(refusal(spec_for("no-tokenizer")))


def test_truncated_weights(spec_for, tmp_path):
    with pytest.raises(hfspec.HfspecError, match=r"model\.safetensors"):
        hfspec.compile(spec_for("truncated-weights"), output=tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_task_the_architecture_cannot_do(spec_for):
    error = refusal(spec_for("bert-sentiment", task="text-generation"))
    (problem,) = error.problems
    assert problem.path == ("task",)
    assert "distilbert checkpoint cannot do text-generation" in problem.message
    assert "fill-mask" in problem.expected
    assert "text-classification" in problem.expected


def test_masked_language_model_is_no_text_generator(own_copy, tmp_path):
    model = own_copy("bert-toxic")
    change_json(model / "config.json", architectures=["BertForMaskedLM"])
    assert "trained to fill masks" in str(refusal(write_spec(tmp_path / "s", model, task="text-generation")))


@pytest.mark.parametrize("name", ["minilm-like", "st-dense"])
def test_missing_tensor_in_the_middle(name, own_copy, tmp_path):
    model = own_copy(name)
    change_tensors(model, lambda tensors: tensors.pop("encoder.layer.0.output.dense.weight"))
    text = str(refusal(write_spec(tmp_path / "s", model)))
    assert "lacks tensors that BertModel needs: encoder.layer.0.output.dense.weight" in text


def test_missing_pooler_does_not_matter_to_an_embedding(own_copy, tmp_path):
    model = own_copy("minilm-like")

    def drop(tensors: dict) -> None:
        for name in [name for name in tensors if name.startswith("pooler.")]:
            del tensors[name]

    change_tensors(model, drop)
    plan = hfspec.plan(write_spec(tmp_path / "s", model))
    assert any("pooler.dense.weight" in note for note in plan.notes)


def test_unexpected_tensors_are_a_note(own_copy, tmp_path):
    model = own_copy("bert-sentiment")
    change_tensors(model, lambda tensors: tensors.update({"stray.weight": tensors["classifier.bias"].clone()}))
    plan = hfspec.plan(write_spec(tmp_path / "s", model))
    assert any("stray.weight" in note for note in plan.notes)


def test_tied_embeddings_are_not_missing(spec_for, checkpoint):
    assert "lm_head.weight" not in load_file(checkpoint("gpt2") / "model.safetensors")
    assert hfspec.plan(spec_for("gpt2")).deployment.model_class == "GPT2LMHeadModel"


def test_every_problem_at_once(own_copy, tmp_path):
    model = own_copy("wrong-head-shape")
    for name in ("tokenizer.json", "vocab.txt"):
        (model / name).unlink(missing_ok=True)
    text = str(refusal(write_spec(tmp_path / "s", model)))
    assert "has no tokenizer" in text
    assert "classifier.weight" in text


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": None}, "no model_type"),
        ({"model_type": "from-the-future"}, "does not know the model_type"),
        ({"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}, "names no class of its own code"),
        ({"_attn_implementation": "someone/kernel"}, "downloads a kernel"),
        ({"nested": {"attn_implementation": {"text": "someone/kernel@main"}}}, "downloads a kernel"),
        ({"dim": "wide"}, "refuses config.json"),
        ({"n_heads": 5}, "cannot make a DistilBertForSequenceClassification"),
    ],
)
def test_configs_refused(config, said, own_copy, tmp_path):
    model = own_copy("bert-sentiment")
    change_json(model / "config.json", **config)
    assert said in str(refusal(write_spec(tmp_path / "s", model)))


def test_code_beside_a_known_architecture_is_neither_run_nor_carried(own_copy, tmp_path):
    model = own_copy("bert-sentiment")
    proof = tmp_path / "it-ran"
    (model / "mine.py").write_text(f"open({str(proof)!r}, 'w').close()")
    change_json(model / "config.json", auto_map={"AutoConfig": "mine.Config", "AutoModel": "mine.Model"})
    artifact = hfspec.compile(write_spec(tmp_path / "s", model), output=tmp_path / "target")
    assert not proof.exists()
    assert not any(record.path.endswith("mine.py") for record in artifact.manifest.files)


def test_config_that_is_not_json(own_copy, tmp_path):
    model = own_copy("bert-sentiment")
    (model / "config.json").write_bytes(b"{'model_type': ")
    assert "config.json is not valid JSON" in str(refusal(write_spec(tmp_path / "s", model)))


def test_index_that_names_a_tensor_elsewhere(own_copy, tmp_path):
    model = own_copy("gpt2-sharded")
    index = model / "model.safetensors.index.json"
    value = json.loads(index.read_text())
    value["weight_map"]["transformer.ghost"] = min(value["weight_map"].values())
    index.write_text(json.dumps(value))
    assert "transformer.ghost" in str(refusal(write_spec(tmp_path / "s", model)))


def test_cross_encoder_is_no_dense_embedder(spec_for):
    spec = spec_for("roberta-stsb", library="sentence-transformers", task="feature-extraction")
    (problem,) = refusal(spec).problems
    assert problem.path == ("task",)
    assert "cross-encoder" in problem.message


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("sentence_transformers.sparse_encoder.models.SpladePooling", "sparse encoder"),
        ("sentence_transformers.models.CNN", "CNN of the checkpoint is not supported yet"),
        ("mine.Pooling", "code of the checkpoint's own"),
    ],
)
def test_modules_refused(kind, said, own_copy, tmp_path):
    model = own_copy("minilm-like")
    modules = json.loads((model / "modules.json").read_text())
    modules[1]["type"] = kind
    (model / "modules.json").write_text(json.dumps(modules))
    assert said in str(refusal(write_spec(tmp_path / "s", model)))


def test_dense_module_of_another_width(own_copy, tmp_path):
    model = own_copy("st-dense")
    change_json(model / "2_Dense" / "config.json", in_features=31)
    text = str(refusal(write_spec(tmp_path / "s", model)))
    assert "takes another width" in text


def test_no_modules_json(own_copy, tmp_path):
    model = own_copy("minilm-like")
    (model / "modules.json").unlink()
    assert "no modules.json" in str(refusal(write_spec(tmp_path / "s", model)))


def test_quantised_checkpoint_cannot_be_cast(own_copy, tmp_path):
    model = own_copy("bert-sentiment")
    change_json(model / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    spec = write_spec(tmp_path / "s", model)
    (problem,) = refusal(spec, "dtype=float16").problems
    assert problem.path == ("dtype",)
    assert problem.origin.override == "dtype=float16"
    assert any("quantised" in note for note in hfspec.plan(spec).notes)


def test_pickle_that_needs_code(own_copy, tmp_path):
    model = own_copy("pickle-only")
    proof = tmp_path / "it-ran"

    class Bomb:
        def __reduce__(self):
            return (open, (str(proof), "w"))

    (model / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Bomb()}))
    assert "restricted loader refuses" in str(refusal(write_spec(tmp_path / "s", model)))
    assert not proof.exists()


def test_plan_reads_headers_and_no_weights(checkpoint, own_copy, tmp_path):
    """A checkpoint whose weights are a hole in the file is planned like the real one."""
    model = own_copy("gpt2")
    weights = model / "model.safetensors"
    size = weights.stat().st_size
    with weights.open("r+b") as file:
        header = 8 + int.from_bytes(file.read(8), "little")
        file.truncate(header)
        file.truncate(size)
    hollow = hfspec.plan(write_spec(tmp_path / "a", model))
    real = hfspec.plan(write_spec(tmp_path / "b", checkpoint("gpt2")))
    assert hollow.steps == real.steps
    assert hollow.memory_bytes == real.memory_bytes


def test_numbers_of_the_plan(spec_for, checkpoint):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(checkpoint("gpt2"))
    plan = hfspec.plan(spec_for("gpt2"), overrides=["dtype=float16"])
    stored = load_file(checkpoint("gpt2") / "model.safetensors")
    assert plan.parameters == sum(tensor.numel() for tensor in stored.values())
    assert plan.weight_bytes == 2 * plan.parameters
    assert plan.memory_bytes >= 2 * sum(parameter.numel() for parameter in model.parameters())


def test_settings_say_where_they_come_from(own_copy, tmp_path):
    model = own_copy("gpt2")
    (model / "generation_config.json").write_text(json.dumps({"temperature": 0.5, "top_k": 7, "do_sample": True}))
    spec = write_spec(tmp_path / "s", model, model_config={"top_k": 3}, signature={"params": {"top_p": 0.5}})
    plan = hfspec.plan(spec, overrides=["dtype=bfloat16"])
    rows = {row.key: (row.value, row.origin) for row in plan.settings}
    assert rows["temperature"] == (0.5, "generation_config.json")
    assert rows["top_k"][0] == 3
    assert rows["top_k"][1].startswith(f"{spec}:5:")
    assert rows["max_new_tokens"] == (256, "hfspec default")
    assert rows["dtype"] == ("bfloat16", "command line (dtype=bfloat16)")
    assert rows["signature.params.top_p"][0] == 0.5
    assert plan.deployment.defaults["max_new_tokens"] == 256


def test_signature(spec_for):
    params = {"temperature": 0.5, "do_sample": True, "max_new_tokens": {"default": 4, "minimum": 1}}
    plan = hfspec.plan(spec_for("gpt2", signature={"params": params}))
    assert {param.name: param.type for param in plan.signature.params} == {
        "temperature": "double",
        "do_sample": "boolean",
        "max_new_tokens": "long",
    }


@pytest.mark.parametrize(
    ("keys", "rows"),
    [
        ({}, []),
        ({"model_config": {"top_k": 2}}, [True]),
        ({"signature": {"params": {"top_k": 1}}}, [False]),
    ],
)
def test_several_labels_a_row_are_answered_with_their_row(keys, rows, spec_for):
    outputs = hfspec.plan(spec_for("bert-sentiment", **keys)).signature.outputs
    assert [column.required for column in outputs if column.name == "row"] == rows
    assert [column.name for column in outputs][-2:] == ["label", "score"]


def test_where_it_runs_is_shown_as_any_setting(spec_for):
    plan = hfspec.plan(spec_for("bert-sentiment", runtime={"threads": 1}))
    (row,) = (row for row in plan.settings if row.key.startswith("runtime."))
    assert (row.key, row.value) == ("runtime.threads", 1)
    assert "spec.yaml" in row.origin


@pytest.mark.parametrize("name", ["minilm-like", "st-dense"])
def test_dimension_of_an_embedding(name, spec_for, checkpoint):
    from sentence_transformers import SentenceTransformer

    width = SentenceTransformer(str(checkpoint(name)), device="cpu").encode(["a film"]).shape[1]
    assert hfspec.plan(spec_for(name)).signature.outputs.shape == (-1, width)
    assert hfspec.plan(spec_for(name, model_config={"truncate_dim": 5})).signature.outputs.shape == (-1, 5)


def test_tokenizer_from_elsewhere(checkpoint, tmp_path):
    other = checkpoint("bert-toxic")
    tokenizer = {"path": str(other), "options": {"model_max_length": 9}}
    spec = write_spec(tmp_path / "s", checkpoint("no-tokenizer"), components={"tokenizer": tokenizer})
    artifact = hfspec.compile(spec, output=tmp_path / "target")
    assert (artifact.path / "components/tokenizer/tokenizer.json").read_bytes() == (
        other / "tokenizer.json"
    ).read_bytes()
    assert artifact.manifest.deployment.options["tokenizer"]["model_max_length"] == 9
    assert not any(path.suffix == ".safetensors" for path in (artifact.path / "components").rglob("*"))


def test_more_dimensions_than_the_model_has(spec_for):
    for keys in ({"model_config": {"truncate_dim": 33}}, {"signature": {"params": {"truncate_dim": 33}}}):
        with pytest.raises(hfspec.SpecError) as caught:
            hfspec.plan(spec_for("minilm-like", **keys))
        (problem,) = caught.value.problems
        assert (problem.code, problem.expected) == ("too-many-dimensions", "at most 32")
        assert problem.path[-1] == "truncate_dim"
    assert hfspec.plan(spec_for("minilm-like", model_config={"truncate_dim": 32}))


def test_a_folder_that_does_not_exist_is_a_fault_of_the_spec(tmp_path):
    components = {"tokenizer": {"package": "transformers/nowhere"}}
    spec = write_spec(tmp_path / "s", tmp_path / "absent", components=components)
    with pytest.raises(hfspec.SpecError) as caught:
        hfspec.plan(spec)
    assert [problem.path for problem in caught.value.problems] == [
        ("model", "path"),
        ("components", "tokenizer", "package"),
    ]
    assert {problem.code for problem in caught.value.problems} == {"no-such-folder"}
    mixed = write_spec(tmp_path / "t", tmp_path / "absent", components={"tokenizer": {"package": "no_such_package/x"}})
    with pytest.raises(hfspec.SourceError, match="absent does not exist") as world:
        hfspec.plan(mixed)
    assert "no_such_package is not installed" in str(world.value)
