"""What is no number leaves no predictor as an answer: activations that overflow in float16 are noticed."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import load_file, save_file

import hfspec
from hfspec.errors import OutputError
from tests.runtime.conftest import TASKS
from tests.runtime.sounds import tone

NAMES = ["bert-sentiment", "minilm-like", "ce-msmarco", "splade", "gpt2", "whisper", "wav2vec2-ctc", "vit"]
FACTOR = 3e4


def overflowing(folder, factor=FACTOR):
    """The checkpoint with norms that make activations too large for float16, each weight itself within its range."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    for name, tensor in tensors.items():
        if "norm" in name.lower() or ".ln_" in name:
            tensors[name] = (tensor * factor).clamp(-6e4, 6e4)
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


def row_of(name):
    if name in ("whisper", "wav2vec2-ctc"):
        return {"array": tone(440.0, 1.0), "sampling_rate": 16000}
    if name == "vit":
        import numpy as np

        return np.full((8, 8, 3), 128, np.uint8)
    return {"query": "a film", "document": "a fine film"} if name == "ce-msmarco" else "a fine film"


@pytest.mark.parametrize("form", ["standard", "full"])
@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_is_no_number_is_refused_with_its_row_and_dtype(own_copy, build, name, form):
    folder = build(overflowing(own_copy(name)), TASKS[name], dtype="float16")
    predictor = hfspec.load(folder)
    row = row_of(name)
    for ask in (
        predictor.predict,
        predictor.predict_json,
        lambda *data, **more: list(predictor.predict_iter(*data, **more)),
    ):
        with pytest.raises(OutputError, match=r"row 0: .*float16.*float32"):
            ask([row], outputs=form)


@pytest.mark.parametrize("name", ["bert-sentiment", "minilm-like", "gpt2"])
def test_what_is_a_number_in_a_wider_dtype_is_answered(own_copy, build, name):
    folder = build(overflowing(own_copy(name), 300), TASKS[name])
    assert len(hfspec.load(folder).predict([row_of(name)])) == 1


@pytest.mark.parametrize("params", [{"do_sample": True}, {"num_beams": 2}, {"stop_strings": ["x"]}], ids=str)
def test_generation_says_so_however_it_chooses(own_copy, build, params):
    folder = build(overflowing(own_copy("gpt2")), "text-generation", dtype="float16", model_config=params)
    with pytest.raises(OutputError, match=r"row 0: .*float16"):
        hfspec.load(folder).predict(["a film"])


def test_the_trial_of_a_compile_fails(own_copy, tmp_path):
    source = overflowing(own_copy("bert-sentiment"))
    spec = {
        "spec_version": 1,
        "library": "transformers",
        "task": "text-classification",
        "dtype": "float16",
        "input_example": ["a film"],
    }
    (tmp_path / "s.yaml").write_text(json.dumps({**spec, "model": {"path": str(source)}}))
    with pytest.raises(hfspec.HfspecError, match="float16"):
        hfspec.compile(tmp_path / "s.yaml", output=tmp_path / "out")
