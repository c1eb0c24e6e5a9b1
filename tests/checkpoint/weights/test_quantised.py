"""Quantised checkpoints: what reads them is in the requirements, and what they take in memory in the plan."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest
import torch
from safetensors.torch import load_file, save_file

import hfspec
from hfspec.checkpoint.weights.quantised import LEAST, PACKAGES, _line
from tests.compiling import write_spec

BLOCK = 16


def quantised(model, stated, dtype="float32"):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "dtype": dtype, "quantization_config": stated}))
    return model


def in_fp8(model, dtype):
    """The weights of each linear layer in float8, with a scale for each block."""
    tensors = load_file(model / "model.safetensors")
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        weight = tensors[name]
        rows, columns = (size // BLOCK for size in weight.shape)
        blocks = weight.reshape(rows, BLOCK, columns, BLOCK)
        scale = blocks.abs().amax(dim=(1, 3), keepdim=True) / 448
        tensors[name] = (blocks / scale).reshape(weight.shape).to(torch.float8_e4m3fn)
        tensors[f"{name}_scale_inv"] = scale.reshape(rows, columns).to(torch.float32)
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    stated = {"quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK], "activation_scheme": "dynamic"}
    return quantised(model, stated, dtype)


def test_every_method_of_the_library_is_known():
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

    methods = {name.removesuffix("_4bit").removesuffix("_8bit") for name in AUTO_QUANTIZATION_CONFIG_MAPPING}
    assert methods == set(PACKAGES)
    assert all(_line(name) != name for name in LEAST), "transformers keeps the least version elsewhere"


METHODS = {
    "bitsandbytes": ({"quant_method": "bitsandbytes", "load_in_4bit": True}, ["accelerate", "bitsandbytes"]),
    "bitsandbytes of old": ({"load_in_8bit": True}, ["accelerate", "bitsandbytes"]),
    "compressed": ({"quant_method": "compressed-tensors"}, ["compressed-tensors"]),
    "gptq": ({"quant_method": "gptq", "bits": 4}, ["gptqmodel", "optimum"]),
    "awq": ({"quant_method": "awq", "bits": 4}, ["accelerate", "gptqmodel"]),
    "torchao": ({"quant_method": "torchao"}, ["torchao"]),
    "hqq": ({"quant_method": "hqq"}, ["hqq"]),
    "fp8": ({"quant_method": "fp8"}, ["accelerate"]),
}


@pytest.mark.parametrize("case", METHODS)
def test_requirements_name_what_reads_the_weights(case, own_copy, tmp_path):
    stated, wanted = METHODS[case]
    plain = hfspec.plan(write_spec(tmp_path / "plain", own_copy("llama-chat"))).requirements
    plan = hfspec.plan(write_spec(tmp_path / "s", quantised(tmp_path / "own/llama-chat", stated)))
    added = sorted(set(plan.requirements) - set(plain))
    assert [line.partition(">=")[0].partition("==")[0] for line in added] == wanted
    for line in added:
        name, exactly, number = line.partition("==")
        assert number.partition("+")[0] == version(name) if exactly else ">=" in line


@pytest.mark.parametrize(
    "stated", [{"quant_method": "gptqq"}, {"quant_method": 4}, {"bits": 4}, {}, [], "gptq", {"quant_method": None}]
)
def test_methods_that_transformers_does_not_know(stated, own_copy, tmp_path):
    with pytest.raises(hfspec.SpecError) as caught:
        hfspec.plan(write_spec(tmp_path / "s", quantised(own_copy("llama-chat"), stated)))
    assert "unknown-quantisation" in [problem.code for problem in caught.value.problems]
    assert "one of aqlm, auto-round, awq" in str(caught.value)


def test_quantised_weights_are_cast_to_no_other_dtype(own_copy, tmp_path):
    model = quantised(own_copy("llama-chat"), {"quant_method": "gptq", "bits": 4})
    with pytest.raises(hfspec.SpecError) as caught:
        hfspec.plan(write_spec(tmp_path / "s", model, runtime={"compute_dtype": "float32"}))
    assert [problem.path for problem in caught.value.problems] == [("runtime", "compute_dtype")]
    assert [problem.code for problem in caught.value.problems] == ["cast-of-quantised"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU may keep the weights in float8")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_memory_of_weights_that_are_expanded_at_load(dtype, own_copy, tmp_path):
    from transformers import AutoModelForCausalLM

    model = in_fp8(own_copy("llama-chat"), dtype)
    plan = hfspec.plan(write_spec(tmp_path / "s", model))
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype))
    held = {id(tensor): tensor.nbytes for tensor in (*loaded.parameters(), *loaded.buffers())}
    assert plan.memory_bytes == sum(held.values()) > plan.weight_bytes
    assert any(f"expanded to {dtype}" in note for note in plan.notes)


def in_mxfp4(model):
    """A mixture of experts, in blocks of 32 numbers of 4 bits with one exponent each, as gpt-oss is published."""
    from transformers import GptOssConfig, GptOssForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 64, "head_dim": 16, "num_attention_heads": 4}
    config = GptOssConfig(
        num_hidden_layers=1,
        num_local_experts=4,
        num_experts_per_tok=2,
        vocab_size=json.loads((model / "config.json").read_text())["vocab_size"],
        num_key_value_heads=2,
        layer_types=["full_attention"],
        **sizes,
    )
    GptOssForCausalLM(config).to(torch.bfloat16).save_pretrained(model)
    tensors = load_file(model / "model.safetensors")
    for name in [name for name in tensors if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        experts, rows, columns = tensors.pop(name).shape
        tensors[f"{name}_blocks"] = torch.full((experts, columns, rows // 32, 16), 0x2A, dtype=torch.uint8)
        tensors[f"{name}_scales"] = torch.full((experts, columns, rows // 32), 120, dtype=torch.uint8)
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    plain = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
    return quantised(model, {"quant_method": "mxfp4", "modules_to_not_convert": plain}, "bfloat16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU may keep the weights in 4 bits")
def test_memory_of_experts_that_are_expanded_at_load(own_copy, tmp_path):
    from transformers import AutoModelForCausalLM

    model = in_mxfp4(own_copy("llama-chat"))
    plan = hfspec.plan(write_spec(tmp_path / "s", model))
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    held = {id(tensor): tensor.nbytes for tensor in (*loaded.parameters(), *loaded.buffers())}
    assert plan.memory_bytes == sum(held.values()) > plan.weight_bytes
