"""A refusal of a task says what the checkpoint's architecture can do, from the registry of tasks."""

from __future__ import annotations

import pytest

from tests.compiling import refusal, write_spec


@pytest.mark.parametrize(
    ("name", "task", "possible"),
    [
        ("wav2vec2-ctc", "text-classification", "audio-classification, automatic-speech-recognition"),
        ("whisper", "token-classification", "audio-classification, automatic-speech-recognition, text-generation"),
        ("vit", "text-generation", "image-classification"),
        ("nllb", "image-classification", "summarization, text2text-generation, translation"),
        ("tapas-wtq", "audio-classification", "fill-mask, table-question-answering, text-classification"),
    ],
)
def test_the_tasks_that_a_checkpoint_can_do(checkpoint, tmp_path, name, task, possible):
    spec = write_spec(tmp_path / "s", checkpoint(name), library="transformers", task=task)
    (problem,) = [each for each in refusal(spec).problems if each.code == "task-not-possible"]
    assert problem.expected.endswith(f" can do: {possible}")
