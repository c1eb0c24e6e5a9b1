"""Sounds for the tests: tones that are known in advance, and files of them in every format."""

from __future__ import annotations

import io
from typing import Any

RATE = 16000


def tone(frequency: float, seconds: float, rate: int = RATE, noise: float = 0.0) -> Any:
    """A tone that swells three times a second, float32, with seeded noise."""
    import numpy as np

    time = np.arange(round(rate * seconds)) / rate
    sound = 0.4 * np.sin(2 * np.pi * frequency * time) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))
    return (sound + noise * np.random.default_rng(7).standard_normal(len(time))).astype(np.float32)


# Container, codec, sample format, rate; the last column is whether every sample comes back as it was.
FORMATS = {
    "wav": ("wav", "pcm_s16le", "s16", 44100, True),
    "wav-float": ("wav", "pcm_f32le", "flt", 16000, True),
    "wav-24": ("wav", "pcm_s24le", "s32", 48000, True),
    "wav-8": ("wav", "pcm_u8", "u8", 8000, False),
    "flac": ("flac", "flac", "s16", 22050, True),
    "mp3": ("mp3", "libmp3lame", "fltp", 44100, False),
    "ogg-opus": ("ogg", "libopus", "flt", 48000, False),
    "m4a": ("ipod", "aac", "fltp", 44100, False),
    "webm": ("webm", "libopus", "flt", 48000, False),
}


def encoded(channels: list[Any], name: str = "wav", rate: int | None = None) -> bytes:
    """A file of one of FORMATS with these channels, each (samples,) at the format's rate."""
    import av
    import numpy as np

    container_name, codec, sample_format, own_rate, _ = FORMATS[name]
    layout = {1: "mono", 2: "stereo"}[len(channels)]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_name) as container:
        stream = container.add_stream(codec, rate=rate or own_rate, layout=layout)
        stream.codec_context.format = sample_format
        stream.codec_context.open()
        samples = np.ascontiguousarray(np.stack(channels), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate or own_rate, 0
        pieces = av.AudioResampler(
            format=sample_format,
            layout=layout,
            rate=rate or own_rate,
            frame_size=stream.codec_context.frame_size or 1024,
        )
        for piece in [*pieces.resample(frame), *pieces.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return buffer.getvalue()
