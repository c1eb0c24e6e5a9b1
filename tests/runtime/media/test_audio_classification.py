"""Labels of sounds equal those of the library's own pipeline, which is given decoded audio one row at a time."""

from __future__ import annotations

import pytest

import hfspec
from hfspec.errors import ParamsError
from tests.runtime.sounds import encoded, tone

SOUNDS = [tone(220, 0.6), tone(880, 0.3), tone(440, 1.4), tone(880, 0.3), tone(1200, 0.6, noise=0.1)]
KINDS = ["wav2vec2-keywords", "ast-tagging"]


def truths(folder, sounds, **settings):
    from transformers import pipeline

    pipe = pipeline("audio-classification", str(folder), device="cpu", top_k=None)
    return [pipe(sound.copy(), **{"top_k": None, **settings}) for sound in sounds]


def assert_scores(answers, rows):
    assert len(answers) == len(rows)
    for mine, row in zip(answers, rows, strict=True):
        assert mine["labels"] == [entry["label"] for entry in row]
        assert mine["scores"] == pytest.approx([entry["score"] for entry in row], abs=1e-5)


def test_sounds_of_different_lengths_share_a_batch_where_their_features_have_one_shape(artifact):
    predictor = hfspec.load(artifact("ast-tagging"))
    rows = []
    model = predictor.components()["model"]
    model.register_forward_pre_hook(lambda _, __, given: rows.append(len(given["input_values"])), with_kwargs=True)
    predictor.predict(SOUNDS)
    assert rows == [len(SOUNDS)]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("batch_seconds", [0.1, 1.5, 1000])
def test_every_label_and_score_as_the_pipeline_says(artifact, checkpoint, name, batch_seconds):
    predictor = hfspec.load(artifact(name), model_config={"batch_seconds": batch_seconds})
    answers = predictor.predict(SOUNDS, outputs="full")
    assert_scores(answers, truths(checkpoint(name), SOUNDS))
    assert [answer["seconds"] for answer in answers] == pytest.approx([0.6, 0.3, 1.4, 0.3, 0.6])
    assert answers[1] == answers[3]
    # The tiny spectrogram model hears 128 steps of 10 ms and says so; the other hears everything.
    assert [answer["truncated"] for answer in answers] == [name == "ast-tagging" and len(x) > 20720 for x in SOUNDS]


@pytest.mark.parametrize(("samples", "cut"), [(20879, False), (20880, True)])
def test_what_is_cut_is_said_from_the_first_sample_on(artifact, samples, cut):
    predictor = hfspec.load(artifact("ast-tagging"))
    sound = tone(440, 2)
    (answer,) = predictor.predict(sound[:samples], outputs="full")
    (longer,) = predictor.predict(sound, outputs="full")
    assert answer["truncated"] is cut
    assert (answer["scores"] == pytest.approx(longer["scores"], abs=1e-6)) or not cut


def test_the_standard_form_is_a_frame_of_the_best_labels(artifact, checkpoint):
    rows = truths(checkpoint("wav2vec2-keywords"), SOUNDS)
    frame = hfspec.load(artifact("wav2vec2-keywords")).predict(SOUNDS)
    assert list(frame.columns) == ["label", "score"]
    assert frame["label"].tolist() == [row[0]["label"] for row in rows]
    assert frame["score"].tolist() == pytest.approx([row[0]["score"] for row in rows], abs=1e-5)
    assert list(hfspec.load(artifact("wav2vec2-keywords")).predict([]).columns) == ["label", "score"]


@pytest.mark.parametrize("top_k", [2, 5, 100, None])
def test_several_labels_a_row_say_which_row(artifact, checkpoint, top_k):
    declared = {"params": {"top_k": {"type": "long", "default": 2}}}
    rows = truths(checkpoint("wav2vec2-keywords"), SOUNDS)
    predictor = hfspec.load(artifact("wav2vec2-keywords", signature=declared))
    frame = predictor.predict(SOUNDS, params={"top_k": top_k})
    assert list(frame.columns) == ["row", "label", "score"]
    truth = [(number, entry["label"]) for number, row in enumerate(rows) for entry in row[:top_k]]
    assert list(zip(frame["row"], frame["label"], strict=True)) == truth


@pytest.mark.parametrize("function", ["sigmoid", "softmax", "none"])
@pytest.mark.parametrize("name", KINDS)
def test_the_function_can_be_chosen(artifact, checkpoint, name, function):
    predictor = hfspec.load(artifact(name), model_config={"function_to_apply": function})
    answers = predictor.predict(SOUNDS[:2], outputs="full")
    assert_scores(answers, truths(checkpoint(name), SOUNDS[:2], function_to_apply=function))


def test_a_file_is_classified_as_its_samples(artifact, checkpoint):
    file = encoded([tone(440, 1.4, 48000)], "wav-24")
    answer = hfspec.load(artifact("wav2vec2-keywords")).predict(file, outputs="full")
    (truth,) = truths(checkpoint("wav2vec2-keywords"), [SOUNDS[2]])
    assert answer[0]["labels"][0] == truth[0]["label"]
    scores = dict(zip(answer[0]["labels"], answer[0]["scores"], strict=True))
    assert scores == pytest.approx({entry["label"]: entry["score"] for entry in truth}, abs=1e-2)


@pytest.mark.parametrize("config", [{"top_k": 0}, {"function_to_apply": "relu"}, {"batch_seconds": 0}, {"topk": 1}])
def test_settings_of_no_such_value_are_refused(artifact, config):
    with pytest.raises(ParamsError):
        hfspec.load(artifact("wav2vec2-keywords"), model_config=config)
