"""Weights are copied, cast and resharded exactly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import hfspec
from hfspec.ir.artifact import Artifact
from tests.compiling import write_spec


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= load_file(path)
    return found


def same_bits(left: torch.Tensor, right: torch.Tensor) -> bool:
    if (left.dtype, left.shape) != (right.dtype, right.shape):
        return False
    return left.contiguous().reshape(-1).view(torch.uint8).equal(right.contiguous().reshape(-1).view(torch.uint8))


def built(spec: Path, *overrides: str) -> Artifact:
    return hfspec.compile(spec, output=spec.parent / "target", overrides=overrides)


@pytest.mark.parametrize("name", ["bert-sentiment", "gpt2-sharded", "st-dense"])
def test_without_a_cast_files_are_copied(name, spec_for, checkpoint):
    model = built(spec_for(name)).path / "model"
    for path in model.rglob("*.*"):
        if path.is_file():
            assert path.read_bytes() == (checkpoint(name) / path.relative_to(model)).read_bytes()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("name", ["bert-sentiment", "gpt2-sharded"])
def test_cast_equals_torchs_own(name, dtype, spec_for, checkpoint):
    artifact = built(spec_for(name), f"dtype={dtype}")
    wanted = {key: value.to(getattr(torch, dtype)) for key, value in tensors_of(checkpoint(name)).items()}
    found = tensors_of(artifact.path / "model")
    assert found.keys() == wanted.keys()
    assert all(same_bits(found[key], wanted[key]) for key in wanted)
    assert artifact.manifest.deployment.dtype == dtype
    plan = hfspec.plan(spec_for(name), [f"dtype={dtype}"])
    written = sum(tensor.nbytes for tensor in found.values())
    assert plan.weight_bytes == written <= plan.memory_bytes < 1.05 * written  # with the buffers, which are not cast
    assert written == sum(tensor.nbytes for tensor in wanted.values())
    config = json.loads((artifact.path / "model/config.json").read_text())
    assert config.get("dtype", config.get("torch_dtype")) == dtype


def test_cast_of_strange_numbers(own_copy, tmp_path):
    """nan, infinities, subnormals, overflow and ties to even, in a tensor longer than one chunk."""
    model = own_copy("bert-sentiment")
    tensors = load_file(model / "model.safetensors")
    strange = torch.tensor([float("nan"), float("inf"), -float("inf"), 1e-42, 1e38, 65520.0, 1.00390625, -0.0, 2049.0])
    tensors["stray"] = strange.repeat(300_001)
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    for dtype in ("float16", "bfloat16"):
        artifact = built(write_spec(tmp_path / dtype, model), f"dtype={dtype}")
        found = tensors_of(artifact.path / "model")["stray"]
        assert same_bits(found, tensors["stray"].to(getattr(torch, dtype)))


@pytest.mark.parametrize(("dtype", "remedy"), [("float16", "bfloat16"), ("bfloat16", "auto")])
def test_a_number_too_large_for_the_dtype_is_refused(dtype, remedy, own_copy, tmp_path):
    """It would be an infinity, and every answer nan. What is infinite already, or not loaded at all, is no matter."""
    model = own_copy("bert-sentiment")
    tensors = load_file(model / "model.safetensors")
    tensors["classifier.weight"][0, 0] = -3.4e38
    tensors["classifier.bias"][0] = float("inf")
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    spec = write_spec(tmp_path / "s", model)
    with pytest.raises(hfspec.SpecError) as caught:
        built(spec, f"dtype={dtype}")
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("cast-overflows", ("dtype",))
    assert f"dtype={dtype}" in str(problem.origin)
    assert "classifier.weight" in problem.message
    assert remedy in problem.remedy
    assert not (spec.parent / "target").exists()
    assert built(spec).path.is_dir()


def raw_tensor(path: Path, dtype: str, size: int) -> None:
    """One more tensor of four elements in a safetensors file, of a dtype that torch may not have."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    end = len(content) - start
    header["stray"] = {"dtype": dtype, "shape": [4], "data_offsets": [end, end + size]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[start:] + b"\x01" * size)


@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        ("F8_E4M3", 4),
        ("F8_E5M2", 4),
        ("F8_E8M0", 4),
        ("F8_E4M3FNUZ", 4),
        ("U64", 32),
        ("C64", 32),
        ("BOOL", 4),
        ("I8", 4),
    ],
)
def test_dtypes_that_are_carried_along(dtype, size, own_copy, tmp_path):
    model = own_copy("bert-sentiment")
    raw_tensor(model / "model.safetensors", dtype, size)
    artifact = built(write_spec(tmp_path / "s", model), "dtype=bfloat16")
    found, wanted = tensors_of(artifact.path / "model"), tensors_of(model)
    assert same_bits(found["stray"], wanted["stray"])
    assert len(hfspec.load(artifact.path).predict("a fine film")) == 1


@pytest.mark.parametrize(("dtype", "size"), [("F4", 2), ("F6_E2M3", 3)])
@pytest.mark.parametrize("cast", ["auto", "float16"])
def test_dtypes_that_are_not(dtype, size, cast, own_copy, tmp_path):
    model = own_copy("bert-sentiment")
    raw_tensor(model / "model.safetensors", dtype, size)
    with pytest.raises(hfspec.SpecError, match=f"tensor stray in model.safetensors is stored as {dtype}"):
        built(write_spec(tmp_path / "s", model), f"dtype={cast}")


def test_tensors_of_odd_shapes_and_names(own_copy, tmp_path):
    """And a file without metadata, as older versions of safetensors wrote."""
    model = own_copy("bert-sentiment")
    strays = {"scalar": torch.tensor(3.5), "none": torch.zeros(3, 0), "a/../b": torch.ones(2), 'ü\n"': torch.ones(1)}
    save_file(load_file(model / "model.safetensors") | strays, model / "model.safetensors")
    for dtype in ("float16", "auto"):
        artifact = built(write_spec(tmp_path / dtype, model), f"dtype={dtype}")
        found = tensors_of(artifact.path / "model")
        cast = torch.float32 if dtype == "auto" else torch.float16
        assert all(same_bits(found[name], tensor.to(cast)) for name, tensor in strays.items())
        assert len(hfspec.load(artifact.path).predict("a fine film")) == 1


@pytest.mark.parametrize(
    "tensor", [torch.ones(2, dtype=torch.complex128), torch.eye(2).to_sparse()], ids=["dtype", "layout"]
)
def test_pickled_tensors_that_safetensors_cannot_hold(tensor, own_copy, tmp_path):
    model = own_copy("pickle-only")
    state = torch.load(model / "pytorch_model.bin", weights_only=True)
    torch.save(state | {"stray": tensor}, model / "pytorch_model.bin")
    with pytest.raises(hfspec.SpecError, match=r"tensor stray in pytorch_model\.bin"):
        built(write_spec(tmp_path / "s", model))


def test_integers_are_never_cast(own_copy, tmp_path):
    model = own_copy("bert-sentiment")
    tensors = load_file(model / "model.safetensors")
    tensors |= {"ids": torch.arange(5), "flags": torch.tensor([True, False, True])}
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    found = tensors_of(built(write_spec(tmp_path / "s", model), "dtype=float16").path / "model")
    assert found["ids"].equal(torch.arange(5))
    assert found["ids"].dtype == torch.int64
    assert found["flags"].dtype == torch.bool


def test_what_the_architecture_keeps_in_float32_stays(tmp_path, checkpoint, own_copy):
    """T5 keeps the last matrix of its feed-forward blocks in float32 when cast to float16."""
    from transformers import T5Config, T5EncoderModel

    model = own_copy("minilm-like")
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=300, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu"
    )
    T5EncoderModel(config).save_pretrained(model)
    artifact = built(write_spec(tmp_path / "s", model, library="sentence-transformers", task="feature-extraction"),
                        "dtype=float16")  # fmt: skip
    found = tensors_of(artifact.path / "model")
    kept = {name for name, tensor in found.items() if tensor.dtype == torch.float32}
    loaded = T5EncoderModel.from_pretrained(artifact.path / "model", dtype=torch.float16)
    assert kept == {name for name, value in loaded.state_dict().items() if value.dtype == torch.float32} & set(found)
    assert any(".wo." in name for name in kept)
    assert any(tensor.dtype == torch.float16 for tensor in found.values())


def test_a_quantised_checkpoint_is_carried_untouched(tmp_path, own_copy):
    """Packed integers beside scales, which only the quantiser's package could read."""
    model = own_copy("bert-sentiment")
    config = json.loads((model / "config.json").read_text())
    quantised = {**config, "dtype": "float16", "quantization_config": {"quant_method": "gptq", "bits": 4}}
    (model / "config.json").write_text(json.dumps(quantised))
    packed = {"layer.qweight": torch.arange(96, dtype=torch.int32), "layer.scales": torch.ones(3, dtype=torch.float16)}
    save_file(packed, model / "model.safetensors", metadata={"format": "pt"})
    artifact = built(write_spec(tmp_path / "s", model))
    for name in ("config.json", "model.safetensors"):
        assert (artifact.path / "model" / name).read_bytes() == (model / name).read_bytes()
    assert artifact.manifest.deployment.dtype == "float16"
    with pytest.raises(hfspec.UsageError, match="is quantised, and cannot be cast to float32"):
        hfspec.load(artifact.path, dtype="float32")


@pytest.mark.parametrize("name", ["bert-sentiment", "gpt2-sharded"])
def test_new_shards_hold_the_same_tensors(name, spec_for, checkpoint):
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    model = built(spec_for(name), "max_shard_size=20KB").path / "model"
    files = sorted(model.glob("*.safetensors"))
    assert len(files) > 3
    found, wanted = tensors_of(model), tensors_of(checkpoint(name))
    assert found.keys() == wanted.keys()
    assert all(same_bits(found[key], wanted[key]) for key in wanted)
    for path in files:
        tensors = load_file(path)
        assert len(tensors) == 1 or sum(tensor.nbytes for tensor in tensors.values()) <= 20_000
    auto = AutoModelForCausalLM if name.startswith("gpt2") else AutoModelForSequenceClassification
    loaded, source = auto.from_pretrained(model), auto.from_pretrained(checkpoint(name))
    assert all(same_bits(value, source.state_dict()[key]) for key, value in loaded.state_dict().items())


def test_pickled_weights_become_safetensors(spec_for, checkpoint):
    artifact = built(spec_for("pickle-only"))
    wanted = torch.load(checkpoint("pickle-only") / "pytorch_model.bin", weights_only=True)
    found = tensors_of(artifact.path / "model")
    assert all(same_bits(found[key], wanted[key]) for key in found)
    assert found.keys() == wanted.keys()
    assert not list(artifact.path.rglob("*.bin"))


def test_tied_pickled_weights_are_written_once(own_copy, tmp_path):
    from transformers import AutoModelForCausalLM

    model = own_copy("gpt2")
    source = AutoModelForCausalLM.from_pretrained(model)
    torch.save(source.state_dict(), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    artifact = built(write_spec(tmp_path / "s", model), "dtype=bfloat16")
    found = tensors_of(artifact.path / "model")
    assert ("lm_head.weight" in found) + ("transformer.wte.weight" in found) == 1
    loaded = AutoModelForCausalLM.from_pretrained(artifact.path / "model")
    for key, value in loaded.state_dict().items():
        assert same_bits(value, source.state_dict()[key].to(torch.bfloat16))


def test_transposed_pickled_weights(own_copy, tmp_path):
    """A view that is not contiguous is written in the order its shape says."""
    model = own_copy("pickle-only")
    state = torch.load(model / "pytorch_model.bin", weights_only=True)
    name = "distilbert.transformer.layer.0.attention.q_lin.weight"
    state[name] = state[name].t().contiguous().t()
    torch.save(state, model / "pytorch_model.bin")
    found = tensors_of(built(write_spec(tmp_path / "s", model)).path / "model")
    assert same_bits(found[name], state[name])


def test_plain_libraries_load_the_artifact(compiled, checkpoint):
    from sentence_transformers import SentenceTransformer
    from transformers import pipeline

    texts = ["a fine film", "", "a terrible ending, and a very long and boring story"]
    for name in ("minilm-like", "st-dense"):
        ours = SentenceTransformer(str(compiled(name).path / "model"), device="cpu").encode(texts)
        assert (ours == SentenceTransformer(str(checkpoint(name)), device="cpu").encode(texts)).all()
    folders = (compiled("bert-sentiment").path / "model", checkpoint("bert-sentiment"))
    ours, theirs = (pipeline("text-classification", model=str(folder), device="cpu")(texts) for folder in folders)
    assert ours == theirs
