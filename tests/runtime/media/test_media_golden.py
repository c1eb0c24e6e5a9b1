"""Answers equal those that the pipelines of transformers 4.57 gave on the same tiny checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hfspec
from tests.golden.make_media import CTC, LONG, PICTURES, SOUNDS, WHISPER, sound
from tests.runtime.images import picture

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "media.json").read_text(encoding="utf-8"))


def assert_transcripts(answers, golden):
    assert [answer["text"] for answer in answers] == [row["text"] for row in golden]
    for answer, row in zip(answers, golden, strict=True):
        for mine, theirs in zip(answer["chunks"] if "chunks" in row else [], row.get("chunks", []), strict=True):
            assert mine["text"] == theirs["text"]
            assert mine["timestamp"] == pytest.approx(theirs["timestamp"])


def assert_labels(answers, golden):
    for answer, row in zip(answers, golden, strict=True):
        assert answer["labels"] == [entry["label"] for entry in row]
        assert answer["scores"] == pytest.approx([entry["score"] for entry in row], abs=1e-5)


@pytest.mark.parametrize("number", range(len(CTC)))
def test_letters(artifact, number):
    predictor = hfspec.load(artifact("wav2vec2-ctc"), model_config=CTC[number])
    answers = predictor.predict([sound(*row) for row in SOUNDS], outputs="full")
    assert_transcripts(answers, GOLDEN["wav2vec2-ctc"][number])


@pytest.mark.parametrize("number", range(len(WHISPER)))
def test_whisper(artifact, number):
    predictor = hfspec.load(artifact("whisper"), model_config=WHISPER[number])
    answers = predictor.predict([sound(*row) for row in SOUNDS[::2]], outputs="full")
    assert_transcripts(answers, GOLDEN["whisper"][number])


def test_whisper_on_long_sounds(artifact):
    predictor = hfspec.load(artifact("whisper"), model_config={"num_beams": 1, "return_timestamps": True})
    answers = predictor.predict([sound(*row) for row in LONG], outputs="full")
    assert_transcripts(answers, GOLDEN["whisper-long"])


@pytest.mark.parametrize("name", ["wav2vec2-keywords", "ast-tagging"])
def test_labels_of_sounds(artifact, name):
    predictor = hfspec.load(artifact(name), model_config={"function_to_apply": "none"})
    assert_labels(predictor.predict([sound(*row) for row in SOUNDS], outputs="full"), GOLDEN[name])


def test_labels_of_pictures(artifact):
    answers = hfspec.load(artifact("vit")).predict([picture(*row) for row in PICTURES], outputs="full")
    assert_labels(answers, GOLDEN["vit"])
