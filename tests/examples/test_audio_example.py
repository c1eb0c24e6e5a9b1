"""The audio example runs on either kind of speech model, on its own sound and on a file that is given."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import interpreters
from tests.runtime.sounds import encoded, tone

ROOT = Path(__file__).parents[2]


def run(*arguments: Path) -> list[str]:
    command = [sys.executable, "examples/audio_transcription.py", *map(str, arguments)]
    done = interpreters.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def spec_of(folder: Path, checkpoint: Path, **settings: object) -> Path:
    spec = {
        "spec_version": 1,
        "library": "transformers",
        "task": "automatic-speech-recognition",
        "model": {"path": str(checkpoint)},
        "model_config": settings,
    }
    (folder / "speech.yaml").write_text(json.dumps(spec), encoding="utf-8")
    return folder / "speech.yaml"


@pytest.mark.parametrize(
    ("name", "settings", "language"),
    [
        ("wav2vec2-ctc", {"return_timestamps": "char"}, "language: not told"),
        ("whisper", {"num_beams": 1, "return_timestamps": True, "language": "en"}, "language: en"),
    ],
)
def test_every_form_is_the_same_sound(
    checkpoint: Callable[[str], Path], tmp_path: Path, name: str, settings: dict[str, object], language: str
) -> None:
    lines = run(spec_of(tmp_path, checkpoint(name), **settings))
    assert lines[0].startswith("chord.wav: ")
    assert lines[1:4] == ["as bytes the same: True", "as samples the same: True", f"2.00 seconds, {language}"]
    assert all(" - " in line for line in lines[4:])
    assert len(lines) > 5


def test_a_file_of_ones_own(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "own.mp3").write_bytes(encoded([tone(440, 1, 44100)], "mp3"))
    lines = run(spec_of(tmp_path, checkpoint("wav2vec2-ctc")), tmp_path / "own.mp3")
    assert lines[0].startswith("own.mp3: ")
    assert lines[1] == "as bytes the same: True"
