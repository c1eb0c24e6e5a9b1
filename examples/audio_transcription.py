"""Transcribe a sound: as a file, as bytes, as samples with their rate, and timed.

Usage: python examples/audio_transcription.py [SPEC] [FILE]

SPEC is by default specs/speech.yaml, whose Whisper comes from the hub; FILE any wav, flac, mp3, ogg or m4a. Without
FILE a short sound is made here: a chord that swells and fades, of which a model trained on speech makes little.
"""

from __future__ import annotations

import sys
import tempfile
import wave
from pathlib import Path

import numpy as np

import hfspec

RATE = 22050


def chord(seconds: float) -> np.ndarray:
    """Samples of 16 bits, (samples,)."""
    time = np.arange(round(RATE * seconds)) / RATE
    notes = sum(np.sin(2 * np.pi * pitch * time) for pitch in (262, 330, 392))
    return (notes / 4 * np.sin(np.pi * time / seconds) * 32767).astype(np.int16)


def write_wav(path: Path, samples: np.ndarray) -> Path:
    """The samples as a file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return path


def main(spec: Path, sound: Path | None, folder: Path) -> None:
    """Compile the spec, then transcribe one sound in every form it may come in."""
    artifact = hfspec.compile(spec, output=folder / "artifact", run=False)
    predictor = hfspec.load(artifact.path)
    samples = chord(2.0)
    file = sound or write_wav(folder / "chord.wav", samples)

    (by_path,) = predictor.predict(file)
    (by_bytes,) = predictor.predict([file.read_bytes()])
    print(f"{file.name}: {by_path!r}")
    print(f"as bytes the same: {by_bytes == by_path}")
    if sound is None:
        (by_samples,) = predictor.predict({"array": samples, "sampling_rate": RATE})
        print(f"as samples the same: {by_samples == by_path}")

    (full,) = predictor.predict(file, outputs="full")
    print(f"{full['seconds']:.2f} seconds, language: {full.get('language', 'not told')}")
    for chunk in full.get("chunks", []):
        start, end = chunk["timestamp"]
        print(f"  {start:6.2f} - {'end' if end is None else f'{end:.2f}'}  {chunk['text']!r}")


if __name__ == "__main__":
    arguments = [Path(word) for word in sys.argv[1:]] or [Path("specs/speech.yaml")]
    with tempfile.TemporaryDirectory() as place:
        main(arguments[0], arguments[1] if len(arguments) > 1 else None, Path(place))
