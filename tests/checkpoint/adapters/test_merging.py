"""A merged adapter: the weights that ``merge_and_unload`` gives, written without the whole model in memory."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

import hfspec
from tests.checkpoints.adapters import ADAPTERS

TASKS = {
    "gpt2-lora": "text-generation",
    "llama-dora": "text-generation",
    "llama-ia3": "text-generation",
    "llama-adalora": "text-generation",
    "llama-loha": "text-generation",
    "llama-lokr": "text-generation",
    "llama-oft": "text-generation",
    "t5-lora": "text2text-generation",
    "sentiment-lora": "text-classification",
    "topics-lora": "text-classification",
    "ctc-lora": "automatic-speech-recognition",
    "vit-lora": "image-classification",
}
MERGE = {"merge": True}


def merged(spec_with, place, name, **keys):
    return hfspec.compile(spec_with(name, TASKS[name], MERGE, **keys), output=place / "artifact")


@pytest.mark.parametrize("name", TASKS)
def test_the_same_weights(name, spec_with, directly, tmp_path):
    artifact = merged(spec_with, tmp_path, name)
    ours = hfspec.load(artifact.path).components()["model"].state_dict()
    theirs = directly(name).merge_and_unload().state_dict()
    assert sorted(ours) == sorted(theirs)
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
    assert not (artifact.path / "adapter").exists()
    assert "peft" not in (artifact.path / "requirements.txt").read_text()
    assert [source.role for source in artifact.manifest.sources] == ["model", "adapter"]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.1)])
def test_the_same_scores_within_the_dtype(dtype, tolerance, spec_with, directly, checkpoint, tmp_path):
    """In bfloat16 the merged weights are rounded once more than the adapter, which stays in float32 beside them."""
    name = "sentiment-lora"
    folder = merged(spec_with, tmp_path, name, dtype=dtype).path
    model = hfspec.load(folder, backend="torch").components()["model"]  # for the library's own bits
    theirs = directly(name, dtype)
    inputs = AutoTokenizer.from_pretrained(checkpoint(ADAPTERS[name][0]))("what a fine film", return_tensors="pt")
    with torch.inference_mode():
        assert torch.allclose(model(**inputs).logits, theirs(**inputs).logits, atol=tolerance)
        whole = directly(name, dtype).merge_and_unload().to(getattr(torch, dtype))
        assert torch.equal(model(**inputs).logits, whole(**inputs).logits)


def test_shards_and_other_tensors_are_kept(spec_with, checkpoint, tmp_path):
    """Only what the adapter targets differs from the checkpoint."""
    artifact = merged(spec_with, tmp_path, "gpt2-lora", max_shard_size="40KB")
    files = sorted((artifact.path / "model").glob("*.safetensors"))
    assert len(files) > 2
    tensors = {key: value for file in files for key, value in load_file(file).items()}
    before = load_file(checkpoint("gpt2") / "model.safetensors")
    changed = {key for key in before if not torch.equal(before[key], tensors[key])}
    assert tensors.keys() == before.keys()
    assert changed == {key for key in before if "c_attn" in key or "c_proj" in key}


def test_twice_the_same_bytes(spec_with, tmp_path):
    spec = spec_with("llama-dora", "text-generation", MERGE)
    assert hfspec.compile(spec, output=tmp_path / "one").digest == hfspec.compile(spec, output=tmp_path / "two").digest
