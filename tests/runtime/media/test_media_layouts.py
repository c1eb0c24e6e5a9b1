"""Checkpoints as earlier versions of the library wrote them, and weights of half precision, answer all the same."""

from __future__ import annotations

import json
import shutil

import pytest

import hfspec
from tests.runtime.images import picture
from tests.runtime.sounds import tone

SPEECH = "automatic-speech-recognition"
SOUND = tone(440, 1)


@pytest.fixture
def older(checkpoint, tmp_path):
    """``older(name, files)``: a copy of a checkpoint with these JSON files; None takes one away."""

    def get(name, files):
        folder = shutil.copytree(checkpoint(name), tmp_path / f"older-{name}")
        for file, content in files.items():
            if content is None:
                (folder / file).unlink()
            else:
                (folder / file).write_text(content if isinstance(content, str) else json.dumps(content))
        return folder

    return get


VIT = {
    "do_normalize": True,
    "do_resize": True,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "resample": 2,
    "size": 32,
}


@pytest.mark.parametrize("kind", [{}, {"feature_extractor_type": "ViTFeatureExtractor"}])
def test_image_processors_that_were_feature_extractors(artifact, older, build, kind):
    folder = older("vit", {"preprocessor_config.json": {**VIT, **kind}})
    answers = hfspec.load(build(folder, "image-classification")).predict(picture(1), outputs="full")
    assert answers == hfspec.load(artifact("vit")).predict(picture(1), outputs="full")


def test_letters_without_the_names_of_classes(artifact, older, build):
    tokens = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    features = {"do_normalize": True, "feature_size": 1, "padding_side": "right", "padding_value": 0.0}
    files = {
        "preprocessor_config.json": {**features, "return_attention_mask": False, "sampling_rate": 16000},
        "tokenizer_config.json": {**tokens, "do_lower_case": False, "return_attention_mask": False},
        "special_tokens_map.json": tokens,
    }
    answers = hfspec.load(build(older("wav2vec2-ctc", files), SPEECH)).predict(SOUND, outputs="full")
    assert answers == hfspec.load(artifact("wav2vec2-ctc")).predict(SOUND, outputs="full")


@pytest.mark.parametrize("slow", [True, False])
def test_whisper_with_its_parts_in_files_of_their_own(artifact, checkpoint, older, build, slow):
    made = checkpoint("whisper")
    features = json.loads((made / "processor_config.json").read_text())["feature_extractor"]
    tokens = json.loads((made / "tokenizer.json").read_text(encoding="utf-8"))
    config = json.loads((made / "tokenizer_config.json").read_text())
    config["additional_special_tokens"] = config.pop("extra_special_tokens")
    files = {
        "processor_config.json": None,
        "preprocessor_config.json": {**features, "processor_class": "WhisperProcessor"},
        "tokenizer_config.json": {name: value for name, value in config.items() if name != "backend"},
        "vocab.json": tokens["model"]["vocab"],
        "merges.txt": "".join(f"{left} {right}\n" for left, right in tokens["model"]["merges"]),
        "added_tokens.json": {token["content"]: token["id"] for token in tokens["added_tokens"]},
        "normalizer.json": {},
        **({"tokenizer.json": None} if slow else {}),
    }
    config = {"num_beams": 1, "return_timestamps": True}
    answers = hfspec.load(build(older("whisper", files), SPEECH, model_config=config)).predict(SOUND, outputs="full")
    assert answers == hfspec.load(artifact("whisper", model_config=config)).predict(SOUND, outputs="full")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    ("name", "task"), [("wav2vec2-ctc", SPEECH), ("whisper", SPEECH), ("wav2vec2-keywords", "audio-classification")]
)
def test_half_precision_as_the_pipeline(artifact, checkpoint, name, task, dtype):
    import torch
    from transformers import pipeline

    pipe = pipeline(task, str(checkpoint(name)), device="cpu", dtype=getattr(torch, dtype))
    config = {"max_length": 8, "num_beams": 1} if name == "whisper" else {}
    given = {"generate_kwargs": dict(config)} if config else {} if task == SPEECH else {"top_k": None}
    truth = pipe(SOUND.copy(), **given)
    (answer,) = hfspec.load(artifact(name, dtype=dtype), model_config=config).predict(SOUND, outputs="full")
    if task == SPEECH:
        assert answer["text"] == truth["text"]
    else:
        scores = dict(zip(answer["labels"], answer["scores"], strict=True))
        assert scores == pytest.approx({entry["label"]: entry["score"] for entry in truth}, abs=1e-2)
