"""Headers against architectures: the same verdict as loading for real, and no memory."""

from __future__ import annotations

import pytest
import torch
import transformers
from safetensors import safe_open

from hfspec.checkpoint.weights.fit import fit, meta_model
from hfspec.ir.pins import TensorInfo
from hfspec.ir.safetensors_header import parse_header

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 100,
    "max_position_embeddings": 64,
}
# Experts merged on load, tied and renamed tensors, buffers without weights, an encoder and a decoder.
MODELS = {
    "MixtralForCausalLM": {**SIZES, "num_key_value_heads": 2, "num_local_experts": 4},
    "Gemma2ForCausalLM": {**SIZES, "num_key_value_heads": 2, "head_dim": 8},
    "AlbertForSequenceClassification": {**SIZES, "embedding_size": 16},
    "DebertaV2ForSequenceClassification": SIZES,
    "T5ForConditionalGeneration": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4},
}


@pytest.fixture(params=MODELS)
def saved(request, tmp_path):
    """A model class, a folder that the library saved such a model into, and the header of its weights."""
    model_class = getattr(transformers, request.param)
    model_class(model_class.config_class(**MODELS[request.param])).save_pretrained(tmp_path)
    content = (tmp_path / "model.safetensors").read_bytes()
    return model_class, tmp_path, parse_header(content, len(content)).tensors


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_the_library_saved_fits_and_takes_what_it_takes(saved, dtype):
    model_class, folder, tensors = saved
    found = fit(meta_model(model_class, model_class.config_class.from_pretrained(folder), tensors, dtype))
    assert (found.missing, found.mismatched, found.unexpected, found.errors) == ((), (), (), ())
    loaded = model_class.from_pretrained(folder, dtype=getattr(torch, dtype))
    held = {id(tensor): tensor for tensor in (*loaded.parameters(), *loaded.buffers())}
    assert found.memory_bytes() == sum(tensor.numel() * tensor.element_size() for tensor in held.values())
    assert found.vocabulary == loaded.get_input_embeddings().weight.shape[0]


def test_a_tensor_less(saved):
    model_class, folder, tensors = saved
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert {tensor.name for tensor in tensors} == set(file.keys())
    largest = max(tensors, key=lambda tensor: (len(tensor.shape), tensor.name))
    rest = [tensor for tensor in tensors if tensor is not largest]
    found = fit(meta_model(model_class, model_class.config_class.from_pretrained(folder), rest, "float32"))
    assert found.missing or found.mismatched or found.errors


def test_nothing_is_allocated_for_what_is_missing_or_of_another_shape():
    """A model of some 800 GB, of whose tensors none is there and one has another shape."""
    config = transformers.LlamaConfig(
        hidden_size=65536,
        intermediate_size=131072,
        num_hidden_layers=4,
        num_attention_heads=64,
        num_key_value_heads=64,
        vocab_size=100_000,
    )
    wrong = TensorInfo("lm_head.weight", "F32", (100_001, 65536), 0, 100_001 * 65536 * 4)
    found = fit(meta_model(transformers.LlamaForCausalLM, config, [wrong], "float32"))
    assert "model.layers.3.mlp.down_proj.weight" in found.missing
    assert [(item.name, item.stored, item.needed) for item in found.mismatched] == [
        ("lm_head.weight", (100_001, 65536), (100_000, 65536))
    ]
    assert found.memory_bytes() > 5e11
