"""Adapters on models that do not read a text and score it: encoders, speech, images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

import hfspec
from tests.checkpoints.adapters import ADAPTERS
from tests.runtime.sounds import tone

TONE = tone(440, 1.0)
SENTENCES = ["what a fine film", "a film", "the worst of all the days I have seen"]


@pytest.fixture
def loaded(spec_with, tmp_path):
    def get(name, task, on_adapter=None, **keys):
        artifact = hfspec.compile(spec_with(name, task, on_adapter, **keys), output=tmp_path / f"{task}-{len(keys)}")
        return hfspec.load(artifact.path)

    return get


def test_speech_that_is_written(loaded, directly):
    predictor = loaded("whisper-lora", "automatic-speech-recognition")
    parts = predictor.components()
    features = parts["feature_extractor"](TONE, sampling_rate=16000, return_tensors="pt").input_features
    theirs = directly("whisper-lora")
    with torch.inference_mode():
        settings = {"input_features": features, "max_new_tokens": 6, "language": "en", "task": "transcribe"}
        assert torch.equal(parts["model"].generate(**settings), theirs.generate(**settings))
        given = {"input_features": features, "decoder_input_ids": torch.tensor([[1, 2, 3]])}
        assert torch.equal(parts["model"](**given).logits, theirs(**given).logits)
    assert len(predictor.predict([TONE, TONE])) == 2


SCORED = {
    "ctc-lora": ("automatic-speech-recognition", torch.from_numpy(TONE)[None]),
    "vit-lora": ("image-classification", torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)),
}


@pytest.mark.parametrize("name", SCORED)
def test_speech_and_images_that_are_scored(name, loaded, directly):
    task, given = SCORED[name]
    ours, theirs = loaded(name, task).components()["model"], directly(name)
    with torch.inference_mode():
        assert torch.equal(ours(given).logits, theirs(given).logits)


def test_features_of_tokens(loaded, directly, checkpoint):
    name = "features-lora"
    words = AutoTokenizer.from_pretrained(checkpoint(ADAPTERS[name][0]))
    answers = loaded(name, "feature-extraction").predict(SENTENCES)
    with torch.inference_mode():
        for text, answer in zip(SENTENCES, answers, strict=True):
            states = directly(name)(**words(text, return_tensors="pt")).last_hidden_state[0]
            assert np.allclose(answer, states.numpy(), atol=1e-5)


@pytest.fixture(scope="module")
def by_the_library(checkpoint, adapter):
    """The embeddings that sentence_transformers gives with the adapter on its model, and those without."""
    from peft import PeftModel
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(checkpoint("minilm-like")), device="cpu")
    bare = encoder.encode(SENTENCES)
    PeftModel.from_pretrained(encoder[0].auto_model, str(adapter("features-lora"))).eval()
    return encoder.encode(SENTENCES), bare


@pytest.mark.parametrize("merge", [False, True])
def test_sentence_embeddings(merge, loaded, by_the_library):
    expected, bare = by_the_library
    library = {"library": "sentence-transformers"}
    predictor = loaded("features-lora", "feature-extraction", {"merge": merge}, **library)
    assert np.abs(expected - bare).max() > 1e-2
    assert np.allclose(predictor.predict(SENTENCES), expected, atol=1e-5)
    assert np.allclose(predictor.components()["model"].encode(SENTENCES), expected, atol=1e-5)


def test_the_embedding_space_is_another_with_an_adapter(loaded):
    library = {"library": "sentence-transformers"}
    with_adapter = loaded("features-lora", "feature-extraction", **library).fingerprint
    without = loaded("features-lora", "feature-extraction", adapter=None, **library).fingerprint
    assert with_adapter != without
