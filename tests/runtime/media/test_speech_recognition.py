"""Transcripts equal those of the library's own pipeline, which is given decoded audio one row at a time."""

from __future__ import annotations

import base64
import json
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

import hfspec
from hfspec.errors import InputError, ParamsError
from tests import interpreters
from tests.runtime.sounds import RATE, encoded, tone

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of a standard deviation inside the library

SOUNDS = [tone(220, 2), tone(880, 0.7), tone(440, 3.1), tone(880, 0.7), tone(1200, 5, noise=0.1), tone(330, 2)]


def pipeline_of(folder):
    from transformers import pipeline
    from transformers.utils import logging

    logging.set_verbosity_error()
    return pipeline("automatic-speech-recognition", str(folder), device="cpu")


@pytest.fixture(scope="module")
def ctc(checkpoint):
    return pipeline_of(checkpoint("wav2vec2-ctc"))


@pytest.fixture(scope="module")
def whisper(checkpoint):
    return pipeline_of(checkpoint("whisper"))


def assert_same(answers, truths):
    assert [answer["text"] for answer in answers] == [truth["text"] for truth in truths]
    for answer, truth in zip(answers, truths, strict=True):
        if "chunks" in truth:
            assert [chunk["text"] for chunk in answer["chunks"]] == [chunk["text"] for chunk in truth["chunks"]]
            for mine, theirs in zip(answer["chunks"], truth["chunks"], strict=True):
                assert isinstance(mine["timestamp"], list)
                assert mine["timestamp"] == pytest.approx(list(theirs["timestamp"]), abs=1e-9)


CTC_SETTINGS = [
    {},
    {"return_timestamps": "word"},
    {"return_timestamps": "char"},
    {"chunk_length_s": 0.5},
    {"chunk_length_s": 0.6, "stride_length_s": [0.1, 0.05], "return_timestamps": "char"},
    {"chunk_length_s": 1, "stride_length_s": 0.2, "return_timestamps": "word"},
]


@pytest.mark.parametrize("settings", CTC_SETTINGS)
@pytest.mark.parametrize("batch_seconds", [0.01, 1000])
def test_ctc_as_the_pipeline(artifact, ctc, settings, batch_seconds):
    sounds = random.Random(str(settings)).sample(SOUNDS, len(SOUNDS))
    config = {**settings, "batch_seconds": batch_seconds}
    answers = hfspec.load(artifact("wav2vec2-ctc"), model_config=config).predict(sounds, outputs="full")
    assert len({answer["text"] for answer in answers}) == 5, "one sound is there twice"
    assert_same(answers, [ctc(sound.copy(), **settings) for sound in sounds])


def test_ctc_tells_when_each_word_was_said_without_being_asked(artifact, ctc):
    answers = hfspec.load(artifact("wav2vec2-ctc")).predict(SOUNDS, outputs="full")
    assert_same(answers, [ctc(sound.copy(), return_timestamps="word") for sound in SOUNDS])
    assert [answer["seconds"] for answer in answers] == pytest.approx([len(sound) / RATE for sound in SOUNDS])


def test_the_standard_form_is_a_list_of_texts(artifact, ctc):
    predictor = hfspec.load(artifact("wav2vec2-ctc", model_config={"return_timestamps": "word"}))
    assert predictor.predict(SOUNDS) == [ctc(sound.copy())["text"] for sound in SOUNDS]
    assert predictor.predict(SOUNDS[0]) == [ctc(SOUNDS[0].copy())["text"]]
    assert predictor.predict([]) == []


def test_files_are_transcribed_as_their_samples(artifact, ctc):
    file = encoded([tone(440, 2, 44100), tone(440, 2, 44100)], "wav")
    assert hfspec.load(artifact("wav2vec2-ctc")).predict([file]) == [ctc(SOUND_440)["text"]]


SOUND_440 = tone(440, 2)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int16"])
def test_every_dtype_of_samples_is_the_same_sound(artifact, ctc, dtype):
    sound = SOUND_440 * 32767 if dtype == "int16" else SOUND_440
    assert hfspec.load(artifact("wav2vec2-ctc")).predict(sound.astype(dtype)) == [ctc(SOUND_440)["text"]]


FAST = {"num_beams": 1, "max_length": 16}
WHISPER_SETTINGS = [
    {"num_beams": 3, "max_length": 16},
    {**FAST, "language": "french", "task": "translate"},
    {**FAST, "language": "<|de|>"},
    {**FAST, "return_timestamps": True},
    {**FAST, "return_timestamps": "word"},
    {**FAST, "chunk_length_s": 3},
    {**FAST, "chunk_length_s": 3, "stride_length_s": [0.5, 0.25], "return_timestamps": True},
    {**FAST, "chunk_length_s": 3, "return_timestamps": "word"},
    {**FAST, "suppress_tokens": [64, 65, 66], "repetition_penalty": 1.5},
    {"num_beams": 1, "max_new_tokens": 5, "no_speech_threshold": 0.6, "logprob_threshold": -9.0, "temperature": 0.0},
]
OF_THE_PIPELINE = {"return_timestamps", "chunk_length_s", "stride_length_s"}


def whisper_truth(whisper, sounds, settings):
    own = {name: value for name, value in settings.items() if name in OF_THE_PIPELINE}
    generate = {name: value for name, value in settings.items() if name not in OF_THE_PIPELINE}
    return [whisper(sound.copy(), **own, generate_kwargs=dict(generate)) for sound in sounds]


@pytest.mark.parametrize("settings", WHISPER_SETTINGS)
def test_whisper_as_the_pipeline(artifact, whisper, settings):
    sounds = [SOUNDS[2], SOUNDS[4]]
    answers = hfspec.load(artifact("whisper"), model_config=settings).predict(sounds, outputs="full")
    assert_same(answers, whisper_truth(whisper, sounds, settings))


def test_whisper_as_the_pipeline_by_default(artifact, whisper):
    answers = hfspec.load(artifact("whisper")).predict(SOUNDS[:1], outputs="full")
    assert_same(answers, whisper_truth(whisper, SOUNDS[:1], {}))


def test_a_threshold_needs_no_temperature(artifact, whisper):
    config = {**FAST, "logprob_threshold": -9.0}
    answers = hfspec.load(artifact("whisper"), model_config=config).predict(SOUNDS[0], outputs="full")
    assert_same(answers, whisper_truth(whisper, SOUNDS[:1], {**config, "temperature": 0.0}))


@pytest.mark.parametrize("times", [None, True, "word"])
def test_long_sounds_are_heard_to_their_end(artifact, whisper, times):
    sounds = [tone(330, 42, noise=0.05), SOUNDS[0], tone(600, 33, noise=0.02)]
    settings = {**FAST, "return_timestamps": times} if times else FAST
    answers = hfspec.load(artifact("whisper"), model_config=settings).predict(sounds, outputs="full")
    # The pipeline refuses long audio unless it may use timestamps, which change no text here.
    truths = whisper_truth(whisper, sounds[::2], {**FAST, "return_timestamps": times or True})
    if not times:
        truths = [{"text": truth["text"]} for truth in truths]
    assert_same(answers[::2], truths)
    assert_same(answers[1:2], whisper_truth(whisper, sounds[1:2], settings))
    assert [answer["seconds"] for answer in answers] == [42, 2, 33]


def test_timing_words_leaves_no_trace(artifact):
    declared = {"params": {"return_timestamps": {"type": "string", "default": "word", "choices": ["word"]}}}
    timed = hfspec.load(artifact("whisper", model_config=FAST, signature=declared))
    config = timed._runner.recognizer.model.config
    before = config._attn_implementation
    timed.predict(SOUNDS[0])
    assert config._attn_implementation == before


def test_the_language_is_told(artifact, checkpoint, whisper):
    import torch

    extractor = whisper.feature_extractor
    answers = hfspec.load(artifact("whisper"), model_config=FAST).predict(SOUNDS, outputs="full")
    for answer, sound in zip(answers, SOUNDS, strict=True):
        features = extractor(sound, sampling_rate=RATE, return_tensors="pt").input_features
        with torch.no_grad():
            number = int(whisper.model.detect_language(features)[0])
        assert whisper.model.generation_config.lang_to_id[f"<|{answer['language']}|>"] == number
    chosen = hfspec.load(artifact("whisper"), model_config={**FAST, "language": "Spanish"})
    assert {answer["language"] for answer in chosen.predict(SOUNDS[:2], outputs="full")} == {"es"}


def test_each_row_may_say_its_language(artifact, whisper):
    sounds = [SOUNDS[0], SOUNDS[2], SOUNDS[0], SOUNDS[0]]
    said = ["de", "Chinese", None, "fr"]
    predictor = hfspec.load(artifact("whisper"), model_config={**FAST, "language": "es"})
    rows = [{"audio": sound, "language": language} for sound, language in zip(sounds, said, strict=True)]
    answers = predictor.predict(rows, outputs="full")
    assert [answer["language"] for answer in answers] == ["de", "zh", "es", "fr"]
    for answer, sound, language in zip(answers, sounds, said, strict=True):
        assert_same([answer], whisper_truth(whisper, [sound], {**FAST, "language": language or "es"}))
    assert predictor.predict(pd.DataFrame(rows), outputs="full") == answers


@pytest.mark.parametrize(("language", "words"), [("germn", "did you mean 'german'"), ("", "does not know ''")])
def test_a_row_with_an_unknown_language_is_named(artifact, language, words):
    predictor = hfspec.load(artifact("whisper"), model_config=FAST)
    with pytest.raises(InputError, match="row 1: column 'language'") as caught:
        predictor.predict([{"audio": SOUNDS[0]}, {"audio": SOUNDS[0], "language": language}])
    assert words in str(caught.value)


def test_letters_know_no_language(artifact):
    with pytest.raises(InputError, match="row 0: column 'language': a CTC model"):
        hfspec.load(artifact("wav2vec2-ctc")).predict([{"audio": SOUNDS[0], "language": "en"}])
    one = hfspec.load(artifact("wav2vec2-ctc")).predict([{"audio": SOUNDS[0], "language": None}])
    assert one == hfspec.load(artifact("wav2vec2-ctc")).predict(SOUNDS[0])


def test_an_english_whisper_takes_no_language(artifact):
    predictor = hfspec.load(artifact("whisper"), model_config=FAST)
    predictor._runner.recognizer.model.generation_config.is_multilingual = False
    with pytest.raises(InputError, match=r"row 0: .*English only"):
        predictor.predict({"audio": SOUNDS[0], "language": "en"})
    chosen = hfspec.load(artifact("whisper"), model_config={**FAST, "task": "translate"})
    chosen._runner.recognizer.model.generation_config.is_multilingual = False
    with pytest.raises(ParamsError, match="English only"):
        chosen.predict(SOUNDS[0])


def test_a_prompt_goes_before(artifact, whisper):
    import torch

    predictor = hfspec.load(artifact("whisper"), model_config={**FAST, "prompt": "the weather in London"})
    ids = whisper.tokenizer.get_prompt_ids("the weather in London", return_tensors="pt")
    features = whisper.feature_extractor(SOUNDS[0], sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        made = whisper.model.generate(**features, prompt_ids=ids, num_beams=1, max_length=16, return_segments=True)
    kept = torch.cat([segment["tokens"] for segment in made["segments"][0]])
    assert predictor.predict(SOUNDS[0]) == [whisper.tokenizer.decode(kept, skip_special_tokens=True)]
    assert predictor.predict(SOUNDS[0]) != hfspec.load(artifact("whisper"), model_config=FAST).predict(SOUNDS[0])


def test_a_seed_repeats_what_was_sampled_in_any_company(artifact):
    config = {"max_length": 12, "temperature": 1.0, "seed": 5}
    predictor = hfspec.load(artifact("whisper"), model_config=config)
    alone = [predictor.predict(sound)[0] for sound in SOUNDS[:3]]
    assert predictor.predict(SOUNDS[:3]) == alone
    other = hfspec.load(artifact("whisper"), model_config={**config, "seed": 6})
    assert other.predict(SOUNDS[:3]) != alone


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("whisper", {"language": "frensh"}, "did you mean 'french'"),
        ("whisper", {"language": "welsh"}, "it knows: "),
        ("whisper", {"return_timestamps": "char"}, "segments or words"),
        ("whisper", {"stride_length_s": 1}, "needs chunk_length_s"),
        ("whisper", {"chunk_length_s": 2, "stride_length_s": 1}, "must be longer"),
        ("whisper", {"chunk_length_s": 2, "stride_length_s": [1]}, r"one number or \[left, right\]"),
        ("whisper", {"chunk_length_s": 40}, "hears 30 s at once"),
        ("whisper", {"prompt": "<|fr|> bonjour"}, "prompt"),
        ("wav2vec2-ctc", {"return_timestamps": True}, "set 'word' or 'char'"),
        ("wav2vec2-ctc", {"language": "french", "num_beams": 2}, "language, num_beams: of no use to a CTC model"),
    ],
)
def test_settings_that_cannot_work_are_refused(artifact, name, config, words):
    with pytest.raises(ParamsError, match=words):
        hfspec.load(artifact(name), model_config=config).predict(SOUNDS[0])


@pytest.mark.parametrize(
    "config", [{"return_timestamps": "letter"}, {"task": "sing"}, {"chunk_length_s": 0}, {"beams": 2}, {"seed": -1}]
)
def test_settings_of_no_such_value_are_refused(artifact, config):
    with pytest.raises(ParamsError):
        hfspec.load(artifact("whisper"), model_config=config)


def test_words_are_timed_by_several_calls_at_once(artifact):
    timed = hfspec.load(artifact("whisper"), model_config={**FAST, "return_timestamps": "word"}, outputs="full")
    alone = timed.predict_json(SOUNDS[:2])
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: timed.predict_json(SOUNDS[:2]), range(4))) == [alone] * 4


def test_a_seed_holds_beside_calls_without_one(artifact):
    drawn = {**FAST, "temperature": 0.9}
    seeded, free = (hfspec.load(artifact("whisper"), model_config={**drawn, **own}) for own in ({"seed": 4}, {}))
    alone = seeded.predict(SOUNDS[:2])
    with ThreadPoolExecutor(2) as threads:
        beside = [threads.submit(predictor.predict, SOUNDS[:2]) for _ in range(3) for predictor in (free, seeded)]
    assert [found.result() for found in beside[1::2]] == [alone] * 3


@pytest.mark.parametrize("name", ["whisper", "wav2vec2-ctc"])
@pytest.mark.parametrize("bad", [b"no sound at all, but bytes", None, 7, np.array([np.nan]), np.zeros(0)])
def test_a_bad_row_is_named(artifact, name, bad):
    with pytest.raises(InputError, match="row 1"):
        hfspec.load(artifact(name), model_config={} if name == "wav2vec2-ctc" else FAST).predict([SOUNDS[0], bad])


def test_the_emitted_predictor_answers_base64_with_json(artifact, ctc, tmp_path):
    file = encoded([SOUND_440], "wav-float")
    rows = [{"audio": base64.b64encode(file).decode()}, {"audio": {"array": SOUNDS[1].tolist(), "sampling_rate": RATE}}]
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "sound.wav").write_bytes(file)
    command = [sys.executable, str(artifact("wav2vec2-ctc") / "predictor.py"), "--outputs", "full"]
    made = interpreters.run([*command, "--json", "rows.json"], cwd=tmp_path, capture_output=True, check=True)
    answers = json.loads(made.stdout)
    assert_same(answers, [ctc(sound.copy(), return_timestamps="word") for sound in (SOUND_440, SOUNDS[1])])
    by_path = interpreters.run([*command, "sound.wav"], cwd=tmp_path, capture_output=True, check=True)
    assert json.loads(by_path.stdout) == answers[:1]


def test_a_frame_of_sounds(artifact, ctc):
    frame = pd.DataFrame({"id": [3, 4], "audio": [encoded([sound], "wav-float") for sound in SOUNDS[:2]]})
    truth = [ctc(sound.copy())["text"] for sound in SOUNDS[:2]]
    assert hfspec.load(artifact("wav2vec2-ctc")).predict(frame) == truth
