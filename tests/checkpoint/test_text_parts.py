"""The text model of a checkpoint that reads images too runs with the part of the config that the library gives it."""

from __future__ import annotations

import pytest
import torch
import transformers

import hfspec
from tests.checkpoints import vocabulary
from tests.compiling import change_json, refusal, write_spec

TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
OWN = {
    "qwen3_5": {"linear_num_value_heads": 2, "linear_num_key_heads": 2, "linear_key_head_dim": 8}
    | {"linear_value_head_dim": 8, "layer_types": ["linear_attention", "full_attention"]},
    "llama4": {"intermediate_size_mlp": 64, "num_local_experts": 2, "attn_temperature_tuning": False},
}


@pytest.fixture
def composite(tmp_path):
    """``composite(kind)``: the text model of a composite checkpoint, saved with the composite's config."""

    def make(kind: str):
        tokenizer = vocabulary.gpt2(128)
        whole = transformers.CONFIG_MAPPING[kind](text_config={"vocab_size": len(tokenizer), **TEXT, **OWN[kind]})
        model_class = transformers.AutoModelForCausalLM._model_mapping[type(whole)]
        torch.manual_seed(1)
        folder = tmp_path / kind
        model_class(whole.get_text_config()).save_pretrained(folder)
        whole.architectures = [model_class.__name__.replace("ForCausalLM", "ForConditionalGeneration")]
        whole.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.mark.parametrize("kind", OWN)
def test_the_text_of_the_library(composite, tmp_path, kind):
    folder = composite(kind)
    keys = {"task": "text-generation", "model_config": {"max_new_tokens": 6, "do_sample": False}}
    artifact = hfspec.compile(write_spec(tmp_path / "s", folder, **keys), output=tmp_path / "target")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    words = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = words("a fine film", return_tensors="pt")
    with torch.no_grad():
        made = model.generate(**inputs, max_new_tokens=6, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    answer = hfspec.load(artifact.path).predict("a fine film")
    expected = words.decode(made, skip_special_tokens=True)
    assert answer in ([expected], ["a fine film" + expected])


def test_a_quantised_text_part(composite, tmp_path):
    """transformers looks there after the whole config; null says nothing, wherever it stands."""
    folder = composite("llama4")
    plain = hfspec.plan(write_spec(tmp_path / "s", folder, task="text-generation"))
    config = transformers.AutoConfig.from_pretrained(folder).to_dict()["text_config"]
    stated = {"quant_method": "gptq", "bits": 4}
    plans = []
    for whole, part in ((stated, None), (None, stated), (None, None)):
        text = {**config, "quantization_config": part}
        change_json(folder / "config.json", quantization_config=whole, text_config=text)
        plans.append(hfspec.plan(write_spec(tmp_path / "s", folder, task="text-generation")))
    assert plans[0].requirements == plans[1].requirements != plain.requirements == plans[2].requirements
    assert any("gptqmodel" in line for line in plans[1].requirements)
    assert "The checkpoint is quantised" in plans[1].notes[0]
    change_json(folder / "config.json", text_config={**config, "quantization_config": stated})
    problems = refusal(write_spec(tmp_path / "s", folder, task="text-generation", dtype="float16")).problems
    assert {problem.code for problem in problems} == {"cast-of-quantised"}
    change_json(folder / "config.json", text_config={**config, "quantization_config": {"quant_method": "gptqq"}})
    problems = refusal(write_spec(tmp_path / "s", folder, task="text-generation")).problems
    assert {problem.code for problem in problems} == {"unknown-quantisation"}


@pytest.mark.parametrize("kind", OWN)
def test_a_text_part_of_another_width_is_refused(composite, tmp_path, kind):
    folder = composite(kind)
    config = transformers.AutoConfig.from_pretrained(folder).to_dict()["text_config"]
    change_json(folder / "config.json", text_config={**config, "intermediate_size": 48, "intermediate_size_mlp": 48})
    problems = refusal(write_spec(tmp_path / "s", folder, task="text-generation")).problems
    assert {problem.code for problem in problems} == {"wrong-shape"}
