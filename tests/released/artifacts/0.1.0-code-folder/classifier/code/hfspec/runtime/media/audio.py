"""Sound as a model takes it: one channel of float32 samples at the model's sampling rate.

Files are decoded by PyAV, which brings its own codecs. A file's channels, and an array's, count equally in the one
channel that is left. Samples of integer arrays are scaled by their type's full range, so that int16 32767 is just below
1.0; floats are taken as they are.

An array without a sampling rate is taken at the model's. Of an array with two axes the shorter one holds the channels,
so that (channels, samples) and (samples, channels) both work; one as wide as it is long is refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hfspec.errors import InputError, UsageError
from hfspec.runtime.media import media
from hfspec.runtime.settings import Settings

# What is read as sound. Playlists are left out: they could make the decoder open other files and addresses.
CONTAINERS = "3g2,3gp,aac,ac3,aiff,amr,amrnb,amrwb,asf,au,avi,caf,flac,m4a,matroska,mj2,mov,mp3,mp4,ogg,wav,w64,webm"
RATES = range(1, 768_001)
MOST_CHANNELS = 64
PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Wave:
    """Samples, (samples,) float32, at ``rate`` per second."""

    samples: Any
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


def wave(value: Any, row: int, rate: int, settings: Settings) -> Wave:
    """The sound that ``value`` stands for, at ``rate``.

    Raises InputError naming the row when it cannot be decoded, is empty, or holds values that are no numbers.
    """
    value = media.unwrapped(value, row)
    if isinstance(value, Mapping) or hasattr(value, "__array__"):
        mono, own_rate = _given(value, row, rate)
    else:
        mono, own_rate = _decoded(media.content(value, row, settings, "audio"), row)
    if not len(mono):
        raise InputError("the audio is empty: it has no samples.", row=row)
    _refuse_non_numbers(mono, row)
    return Wave(mono if own_rate == rate else _resampled(mono, own_rate, rate), rate)


def _given(value: Any, row: int, rate: int) -> tuple[Any, int]:
    """(samples, rate) of an array, or of a mapping with ``array`` or ``raw`` and ``sampling_rate``."""
    if not isinstance(value, Mapping):
        return _mono(_floats(value, row), row), rate
    samples = value["array"] if value.get("array") is not None else value.get("raw")
    own = value.get("sampling_rate")
    if samples is None:
        raise InputError("the mapping's array is missing.", row=row)
    if own is None:
        raise InputError("the mapping has an array and no sampling_rate; give both.", row=row)
    if isinstance(own, bool) or not isinstance(own, int | float) or own not in RATES:
        raise InputError(f"the sampling_rate must be a number of samples per second, not {own!r}.", row=row)
    return _mono(_floats(samples, row), row), int(own)


def _floats(value: Any, row: int) -> Any:
    """float32, or float64 where it was that, integers scaled."""
    import numpy as np

    try:
        array = np.asarray(value, dtype=np.float64) if isinstance(value, list | tuple) else np.asarray(_on_host(value))
    except (TypeError, ValueError) as error:
        raise InputError(f"the audio's array is not one of numbers: {error}.", row=row) from error
    if array.dtype.kind == "f":
        return array if array.dtype == np.float64 else array.astype(np.float32)
    if array.dtype in (np.int8, np.int16, np.int32):
        return array.astype(np.float64) / -float(np.iinfo(array.dtype).min)
    if array.dtype == np.uint8:
        return (array.astype(np.float64) - 128) / 128
    raise InputError(
        f"an audio array of {array.dtype} has no known scale; give float32, float64, int16, int32, int8 or uint8.",
        row=row,
    )


def _on_host(value: Any) -> Any:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def _mono(array: Any, row: int) -> Any:
    if array.ndim == 1:
        return array
    if array.ndim != 2 or (array.shape[0] == array.shape[1] != 1) or min(array.shape) > MOST_CHANNELS:
        raise InputError(
            f"an array of shape {tuple(array.shape)} is not sound; give (samples,), (channels, samples) or"
            " (samples, channels).",
            row=row,
        )
    return array.mean(axis=0 if array.shape[0] <= array.shape[1] else 1)


def _refuse_non_numbers(mono: Any, row: int) -> None:
    import numpy as np

    bad = np.flatnonzero(~np.isfinite(mono))
    if len(bad):
        raise InputError(f"the audio has {len(bad)} samples that are nan or infinite, first sample {bad[0]}.", row=row)


def _decoded(content: bytes, row: int) -> tuple[Any, int]:
    """(samples, rate) of a file's first audio stream."""
    import numpy as np

    av = _library()
    # An empty list of protocols: whatever a file says, no other file and no address is opened.
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "none"}
    try:
        with av.open(io.BytesIO(content), options=options) as container:
            if not container.streams.audio:
                raise InputError("the file has no audio in it.", row=row)
            stream = container.streams.audio[0]
            pieces = [piece.mean(axis=0) for piece in _frames(av, container, stream)]
            return np.concatenate(pieces) if pieces else np.empty(0, np.float32), int(stream.rate)
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"the audio cannot be decoded: {reason}.", row=row) from error


def _frames(av: Any, container: Any, stream: Any) -> Iterator[Any]:
    """The stream's frames as arrays (channels, samples) of float32."""
    as_floats = av.AudioResampler(format="fltp")
    for frame in container.decode(stream):
        for piece in as_floats.resample(frame):
            yield piece.to_ndarray()


def _resampled(mono: Any, own_rate: int, rate: int) -> Any:
    import numpy as np

    av = _library()
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=rate)
    pieces = []
    for start in range(0, len(mono), PIECE):
        frame = av.AudioFrame.from_ndarray(_line(mono[start : start + PIECE]), format="fltp", layout="mono")
        frame.sample_rate = own_rate
        pieces += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
    pieces += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
    return np.concatenate(pieces) if pieces else np.empty(0, np.float32)


def _line(samples: Any) -> Any:
    import numpy as np

    return np.ascontiguousarray(samples, dtype=np.float32)[None, :]


def _library() -> Any:
    try:
        import av
    except ImportError as error:
        raise UsageError("decoding and resampling audio needs the package av; pip install 'hfspec[audio]'.") from error
    return av
