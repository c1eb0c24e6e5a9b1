"""What plans of audio and image models say, and what is found wrong before anything is built."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import hfspec
from hfspec.errors import SpecError

SPEECH = "automatic-speech-recognition"


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., hfspec.Plan]:
    """``planned(folder, task, **keys)``: the plan of a spec with these keys."""

    def get(source: Path, task: str, **keys: object) -> hfspec.Plan:
        spec = {"spec_version": 1, "library": "transformers", "task": task, "model": {"path": str(source)}, **keys}
        (tmp_path / "spec.yaml").write_text(json.dumps(spec), encoding="utf-8")
        return hfspec.plan(tmp_path / "spec.yaml")

    return get


@pytest.fixture
def changed(checkpoint: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """``changed(name, file, content)``: a copy of a checkpoint with one file changed, or gone when content is None."""

    def get(name: str, file: str, content: str | None) -> Path:
        folder = shutil.copytree(checkpoint(name), tmp_path / name)
        if content is None:
            (folder / file).unlink()
        else:
            (folder / file).write_text(content, encoding="utf-8")
        return folder

    return get


@pytest.mark.parametrize(
    ("name", "task", "components", "package"),
    [
        ("whisper", SPEECH, {"feature_extractor": "WhisperFeatureExtractor", "tokenizer": "WhisperTokenizer"}, "av"),
        (
            "wav2vec2-ctc",
            SPEECH,
            {"feature_extractor": "Wav2Vec2FeatureExtractor", "tokenizer": "Wav2Vec2CTCTokenizer"},
            "av",
        ),
        ("wav2vec2-keywords", "audio-classification", {"feature_extractor": "Wav2Vec2FeatureExtractor"}, "av"),
        ("vit", "image-classification", {"image_processor": "ViTImageProcessorPil"}, "pillow"),
    ],
)
def test_components_and_requirements(checkpoint, planned, name, task, components, package):
    plan = planned(checkpoint(name), task)
    assert dict(plan.deployment.components) == components
    media = {line.partition("==")[0] for line in plan.requirements} & {"av", "pillow", "torchvision"}
    assert media == {package}


def test_texts_need_neither(checkpoint, planned):
    plan = planned(checkpoint("bert-sentiment"), "text-classification")
    assert not any(line.startswith(("av=", "pillow=")) for line in plan.requirements)


def test_settings_are_those_that_the_kind_of_model_has(checkpoint, planned):
    settings = {name: {row.key: row for row in planned(checkpoint(name), SPEECH).settings} for name in KINDS}
    assert settings["whisper"]["num_beams"].value == 5
    assert settings["whisper"]["max_length"].origin == "generation_config.json"
    assert "max_new_tokens" not in settings["whisper"], "it gives way to max_length"
    assert not {"num_beams", "max_new_tokens"} & settings["wav2vec2-ctc"].keys()
    assert "lang_to_id" not in settings["whisper"]


KINDS = ("whisper", "wav2vec2-ctc")


def test_every_setting_of_the_other_kind_is_found_at_once(checkpoint, planned):
    keys = {"model_config": {"num_beams": 2, "chunk_length_s": 5}, "signature": {"params": {"language": "french"}}}
    planned(checkpoint("whisper"), SPEECH, **keys)
    with pytest.raises(SpecError) as caught:
        planned(checkpoint("wav2vec2-ctc"), SPEECH, **keys)
    found = {(problem.code, problem.path) for problem in caught.value.problems}
    assert found == {
        ("dead-key", ("model_config", "num_beams")),
        ("dead-key", ("signature", "params", "language")),
    }
    assert "Wav2Vec2ForCTC has no use for the setting `num_beams`" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "file", "content", "task", "code"),
    [
        ("vit", "preprocessor_config.json", None, "image-classification", "no-processor"),
        ("wav2vec2-keywords", "preprocessor_config.json", None, "audio-classification", "no-processor"),
        ("wav2vec2-ctc", "preprocessor_config.json", None, SPEECH, "no-processor"),
        ("wav2vec2-ctc", "vocab.json", None, SPEECH, "no-tokenizer"),
        ("whisper", "processor_config.json", "{}", SPEECH, "broken-processor"),
        ("vit", "preprocessor_config.json", "no json", "image-classification", "broken-checkpoint"),
    ],
)
def test_what_is_missing_or_broken_is_named(changed, planned, name, file, content, task, code):
    with pytest.raises(SpecError) as caught:
        planned(changed(name, file, content), task)
    assert [problem.code for problem in caught.value.problems] == [code]


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("bert-sentiment", "image-classification"),
        ("vit", "audio-classification"),
        ("vit", SPEECH),
        ("gpt2", SPEECH),
    ],
)
def test_a_task_that_the_architecture_cannot_do(checkpoint, planned, name, task):
    with pytest.raises(SpecError) as caught:
        planned(checkpoint(name), task)
    assert "task-not-possible" in {problem.code for problem in caught.value.problems}


def test_speech_models_of_another_kind_are_refused(changed, planned, checkpoint):
    from transformers import Speech2TextConfig

    config = json.dumps({**Speech2TextConfig().to_dict(), "architectures": ["Speech2TextForConditionalGeneration"]})
    with pytest.raises(SpecError) as caught:
        planned(changed("whisper", "config.json", config), SPEECH)
    (problem,) = (problem for problem in caught.value.problems if problem.code == "task-not-possible")
    assert "Speech2TextForConditionalGeneration" in problem.message
    assert problem.path == ("task",)
