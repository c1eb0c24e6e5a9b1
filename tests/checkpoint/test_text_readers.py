"""Models that texts alone give nothing to read are refused by plan; those that read texts are planned as before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import hfspec
from hfspec.checkpoint.text_readers import why_not
from hfspec.errors import SpecError
from tests.checkpoints import embedders, vocabulary

SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
PICTURES = {**SIZES, "image_size": 32, "patch_size": 16}
TEXTS = {**SIZES, "vocab_size": 600, "max_position_embeddings": 64}
SOUNDS = {
    "hidden_size": 64,
    "patch_embeds_hidden_size": 8,
    "depths": [1, 1],
    "num_attention_heads": [2, 2],
    "spec_size": 64,
    "num_mel_bins": 16,
    "window_size": 4,
    "num_hidden_layers": 2,
}
# Encoders of two kinds of input -> the arguments of their config.
TWO_SIDED = {
    "CLIP": {"text_config": TEXTS, "vision_config": PICTURES, "projection_dim": 16},
    "Siglip": {"text_config": TEXTS, "vision_config": PICTURES},
    "Siglip2": {"text_config": TEXTS, "vision_config": {**SIZES, "patch_size": 16, "num_patches": 4}},
    "Clap": {"text_config": TEXTS, "audio_config": SOUNDS, "projection_dim": 16},
    "ChineseCLIP": {"text_config": TEXTS, "vision_config": PICTURES, "projection_dim": 16},
}
TASKS = [
    ("transformers", "feature-extraction"),
    ("transformers", "llm/v1/embeddings"),
    ("sentence-transformers", "feature-extraction"),
    ("sentence-transformers", "llm/v1/embeddings"),
    ("sentence-transformers", "sentence-similarity"),
]


@pytest.fixture(scope="module")
def two_sided(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        import transformers

        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            model_class = getattr(transformers, f"{name}Model")
            model_class(getattr(transformers, f"{name}Config")(**TWO_SIDED[name])).save_pretrained(made[name])
            vocabulary.roberta(64).save_pretrained(made[name])
        return made[name]

    return get


def planned(folder: Path, place: Path, library: str, task: str) -> hfspec.Plan:
    spec = {"spec_version": 1, "library": library, "task": task, "model": {"path": str(folder)}}
    (place / "spec.yaml").write_text(json.dumps(spec), encoding="utf-8")
    return hfspec.plan(place / "spec.yaml")


@pytest.mark.parametrize("name", TWO_SIDED)
@pytest.mark.parametrize(("library", "task"), TASKS)
def test_an_encoder_of_two_kinds_of_input_is_refused_by_plan(two_sided, tmp_path, name, library, task):
    folder = two_sided(name)
    if library == "sentence-transformers":
        folder = shutil.copytree(folder, tmp_path / name)
        embedders.modules(folder, ["Transformer", "Pooling"])
        embedders.pooling(folder, "mean_tokens")
    with pytest.raises(SpecError) as caught:
        planned(folder, tmp_path, library, task)
    (problem,) = [problem for problem in caught.value.problems if problem.code == "task-not-possible"]
    assert f"texts alone cannot be embedded by a {name}Model yet" in problem.message
    assert "last_hidden_state" in problem.message
    assert "reads a text by itself" in problem.expected


# Of every other kind: what its forward needs, or gives.
NOT_READERS = {
    "Blip2Model": "needs pixel_values",
    "GroundingDinoModel": "needs pixel_values",
    "ViltModel": "needs pixel_values",
    "LayoutLMv2Model": "needs image",
    "BrosModel": "needs bbox",
    "BlipModel": "BlipOutput",
    "FlavaModel": "FlavaModelOutput",
    "LxmertModel": "LxmertModelOutput",
    "VisionTextDualEncoderModel": "CLIPOutput",
    "OwlViTModel": "OwlViTOutput",
    "DPRQuestionEncoder": "no last_hidden_state",
    "Llama4ForConditionalGeneration": "no last_hidden_state",
    "Wav2Vec2Model": "reads input_values",
    "ViTModel": "reads pixel_values",
    "WhisperModel": "reads input_features",
}
READERS = [
    *("BertModel", "RobertaModel", "DistilBertModel", "DebertaV2Model", "ModernBertModel", "XLNetModel", "FunnelModel"),
    *("T5EncoderModel", "T5Model", "BartModel", "M2M100Model", "FSMTModel", "GPT2Model", "Qwen3Model", "MambaModel"),
    *("Gemma3Model", "Qwen2VLModel", "CLIPTextModel", "LayoutLMv3Model", "FuyuModel", "CanineModel", "LukeModel"),
]


@pytest.mark.parametrize("name", NOT_READERS)
def test_what_a_class_needs_and_gives_is_read_from_it(name):
    assert NOT_READERS[name] in reason(name)


@pytest.mark.parametrize("name", READERS)
def test_readers_of_texts_are_not_refused(name):
    assert not reason(name)


def reason(name: str) -> str:
    import transformers

    model_class = getattr(transformers, name)
    return why_not(model_class, model_class.config_class.model_type)


@pytest.mark.parametrize("name", ["bert-sentiment", "t5", "bart", "m2m100", "gpt2"])
def test_texts_are_still_planned(checkpoint, tmp_path, name):
    planned(checkpoint(name), tmp_path, "transformers", "feature-extraction")
