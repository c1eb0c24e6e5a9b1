"""A Whisper without generation_config.json, whose tokenizer knows most of what that file says."""

from __future__ import annotations

from pathlib import Path

import pytest

import hfspec
from hfspec.errors import InputError, ParamsError
from tests.runtime.media.test_speech_recognition import FAST, assert_same, pipeline_of, whisper_truth
from tests.runtime.sounds import tone

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of a standard deviation inside the library

LONG = tone(330, 42, noise=0.05)
SHORT = tone(440, 3.1)
IDS = ("lang_to_id", "task_to_id", "no_timestamps_token_id", "prev_sot_token_id", "is_multilingual")
OTHERS = ("fr", "de", "es", "zh")


def alone(folder: Path, *renamed: str) -> Path:
    """The checkpoint in ``folder`` without the file, and without these special tokens."""
    (folder / "generation_config.json").unlink()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (folder / name).read_text(encoding="utf-8")
        for token in renamed:
            text = text.replace(f"<|{token}|>", f"<|no {token}|>")
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def model(own_copy):
    return alone(own_copy("whisper"))


@pytest.fixture
def truth(model, checkpoint):
    """The library's pipeline, which is told the ids of the file that is gone."""
    from transformers import GenerationConfig

    found = pipeline_of(model)
    whole = GenerationConfig.from_pretrained(checkpoint("whisper"))
    for name in IDS:
        setattr(found.model.generation_config, name, getattr(whole, name))
    return found


def test_what_the_library_answers_without_it_is_answered(build, model):
    predictor = hfspec.load(build(model, "automatic-speech-recognition"), model_config=FAST)
    assert_same(predictor.predict([SHORT], outputs="full"), whisper_truth(pipeline_of(model), [SHORT], FAST))


@pytest.mark.parametrize("settings", [{"language": "fr"}, {"language": "german", "task": "translate"},
                                      {"task": "transcribe"}, {"return_timestamps": True}])  # fmt: skip
def test_settings_over_ids(build, model, truth, settings):
    settings = {**FAST, **settings}
    predictor = hfspec.load(build(model, "automatic-speech-recognition"), model_config=settings)
    assert_same(predictor.predict([SHORT], outputs="full"), whisper_truth(truth, [SHORT], settings))


def test_long_sounds_and_languages_by_row(build, model, truth):
    predictor = hfspec.load(build(model, "automatic-speech-recognition"), model_config=FAST)
    rows = [{"audio": LONG, "language": None}, {"audio": LONG, "language": "es"}, {"audio": SHORT, "language": "zh"}]
    answers = predictor.predict(rows, outputs="full")
    wanted = [
        *whisper_truth(truth, [LONG], {**FAST, "return_timestamps": True}),
        *whisper_truth(truth, [LONG], {**FAST, "return_timestamps": True, "language": "es"}),
        *whisper_truth(truth, [SHORT], {**FAST, "language": "zh"}),
    ]
    assert [answer["text"] for answer in answers] == [answer["text"] for answer in wanted]
    assert [answer["language"] for answer in answers[1:]] == ["es", "zh"]


def test_the_plan_names_the_file_and_what_follows(build, artifact, model):
    said = "There is no generation_config.json"
    whole = artifact("whisper")
    artifact = build(model, "automatic-speech-recognition")
    assert any(said in note for note in hfspec.plan(f"{artifact}.yaml").notes)
    assert not any(said in note for note in hfspec.plan(f"{whole}.yaml").notes)
    with pytest.raises(ParamsError, match="alignment_heads in the checkpoint's generation config"):
        hfspec.load(artifact, model_config={**FAST, "return_timestamps": "word"}).predict(SHORT)
    with pytest.raises(ParamsError, match="did you mean 'german'"):
        hfspec.load(artifact, model_config={**FAST, "language": "germn"}).predict(SHORT)


def test_english_only(build, own_copy):
    """As many languages as its tokenizer has: one."""
    model = alone(own_copy("whisper"), *OTHERS)
    artifact = build(model, "automatic-speech-recognition")
    truth = pipeline_of(model)
    truth.model.generation_config.no_timestamps_token_id = truth.tokenizer.convert_tokens_to_ids("<|notimestamps|>")
    truth.model.generation_config.is_multilingual = False
    answers = hfspec.load(artifact, model_config=FAST).predict([LONG], outputs="full")
    assert answers[0]["text"] == whisper_truth(truth, [LONG], {**FAST, "return_timestamps": True})[0]["text"]
    with pytest.raises(ParamsError, match="English only"):
        hfspec.load(artifact, model_config={**FAST, "language": "fr"}).predict(SHORT)


def test_without_timestamps_long_sounds_are_refused_and_chunks_are_not(build, own_copy):
    model = alone(own_copy("whisper"), "notimestamps")
    artifact = build(model, "automatic-speech-recognition")
    predictor = hfspec.load(artifact, model_config=FAST)
    with pytest.raises(InputError, match=r"row 1: this sound is longer than the 30 s .*generation_config.json.*chunk"):
        predictor.predict([SHORT, LONG])
    with pytest.raises(ParamsError, match=r"return_timestamps: neither .*generation_config.json"):
        hfspec.load(artifact, model_config={**FAST, "return_timestamps": True}).predict(SHORT)
    chunked = hfspec.load(artifact, model_config={**FAST, "chunk_length_s": 20})
    assert len(chunked.predict([LONG])) == 1
