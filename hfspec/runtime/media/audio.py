"""Sound as a model takes it: one channel of float32 samples at the model's sampling rate.

PyAV, which brings its own codecs, decodes files. The channels of a file or an array count equally in the mixed one.
Samples of integer arrays are scaled by their type's full range, so that int16 32767 is just below 1.0; floats stay as
they are.

A few kilobytes can stand for hours, so samples are counted while they are decoded, against audio_max_seconds and
audio_max_samples, and resampled to the model's rate as they come: memory never holds a whole sound at its own rate.

An array without a sampling rate has the model's. The shorter of an array's two axes holds the channels, so that
(channels, samples) and (samples, channels) both work; a square one is refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from hfspec.errors import InputError, UsageError
from hfspec.runtime.media import media
from hfspec.settings.precedence import Settings
from hfspec.tasks import media as task

# The containers of sound. Playlists are left out: they could make the decoder open other files and addresses.
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

    Raises InputError naming the row when it cannot be decoded, is empty, too long, or holds values that are no numbers.
    """
    value = media.unwrapped(value, row)
    if isinstance(value, Mapping) or hasattr(value, "__array__"):
        mono, own_rate = _array(value, row, rate)
        pieces = _checked([mono], own_rate, row, settings)
        return Wave(next(pieces) if own_rate == rate else _resampled(pieces, own_rate, rate), rate)
    return Wave(_decoded(media.content(value, row, settings, "audio"), row, rate, settings), rate)


def _checked(pieces: Iterable[Any], rate: int, row: int, settings: Settings) -> Iterator[Any]:
    """The pieces, each checked for its length and its numbers before it goes on."""
    count = 0
    for piece in pieces:
        _refuse_length(count + len(piece), rate, row, settings)
        _refuse_non_numbers(piece, count, row)
        count += len(piece)
        if len(piece):
            yield piece
    if not count:
        raise InputError("the audio is empty: it has no samples.", row=row)


def _refuse_length(samples: int, rate: int, row: int, settings: Settings) -> None:
    seconds, most = media.bound(settings, task.AUDIO_MAX_SECONDS), media.bound(settings, task.AUDIO_MAX_SAMPLES)
    if samples > seconds * rate:
        raise InputError(
            f"the audio is too long: it lasts more than {seconds:g} seconds, by its own sampling rate of {rate} Hz;"
            " give a shorter one, or raise model_config.audio_max_seconds.",
            row=row,
        )
    if samples > most:
        raise InputError(
            f"the audio has too many samples: more than {most:.0f}, at its own sampling rate of {rate} Hz; give a"
            " shorter one or one of a lower rate, or raise model_config.audio_max_samples.",
            row=row,
        )


def _array(value: Any, row: int, rate: int) -> tuple[Any, int]:
    """(samples, rate) of an array, or of a mapping with ``array`` or ``raw`` and ``sampling_rate``."""
    if not isinstance(value, Mapping):
        return _mono(_floats(value, row), row), rate
    samples = value["array"] if value.get("array") is not None else value.get("raw")
    own = value.get("sampling_rate")
    if samples is None:
        raise InputError("the mapping's array is missing.", row=row)
    if own is None:
        raise InputError("the mapping has an array and no sampling_rate; give both.", row=row)
    if isinstance(own, bool) or not isinstance(own, Real) or own not in RATES:
        raise InputError(f"the sampling_rate must be a number of samples per second, not {own!r}.", row=row)
    return _mono(_floats(samples, row), row), int(float(own))


def _floats(value: Any, row: int) -> Any:
    """The array as float32, or float64 where it was that, integers scaled."""
    import numpy as np

    try:
        array = (
            np.asarray(value, dtype=np.float64) if isinstance(value, list | tuple) else np.asarray(media.on_host(value))
        )
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


def _refuse_non_numbers(mono: Any, before: int, row: int) -> None:
    import numpy as np

    bad = np.flatnonzero(~np.isfinite(mono))
    if len(bad):
        first = before + bad[0]
        raise InputError(f"the audio has {len(bad)} samples that are nan or infinite, first sample {first}.", row=row)


def _decoded(content: bytes, row: int, rate: int, settings: Settings) -> Any:
    """The samples of a file's first audio stream, at ``rate``."""
    import numpy as np

    av = _library()
    # No protocols: whatever a file says, the decoder opens no other file and no address.
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "none"}
    try:
        with av.open(io.BytesIO(content), options=options) as container:
            if not container.streams.audio:
                raise InputError("the file has no audio in it.", row=row)
            stream = container.streams.audio[0]
            if not hasattr(stream, "rate"):
                raise InputError("the audio cannot be decoded: its codec is not known.", row=row)
            own_rate = int(stream.rate)
            if own_rate not in RATES:
                raise InputError(f"the file's sampling rate is {own_rate}, which no sound has.", row=row)
            pieces = _checked(_large_pieces(_frames(av, container, stream)), own_rate, row, settings)
            return np.concatenate(list(pieces)) if own_rate == rate else _resampled(pieces, own_rate, rate)
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"the audio cannot be decoded: {reason}.", row=row) from error


def _frames(av: Any, container: Any, stream: Any) -> Iterator[Any]:
    """The stream's frames as arrays (samples,) of float32, their channels mixed."""
    as_floats = av.AudioResampler(format="fltp")
    for frame in container.decode(stream):
        for piece in as_floats.resample(frame):
            yield piece.to_ndarray().mean(axis=0)


def _large_pieces(frames: Iterable[Any]) -> Iterator[Any]:
    """The samples of the frames in pieces of about a million."""
    import numpy as np

    parts: list[Any] = []
    count = 0
    for frame in frames:
        parts.append(frame)
        count += len(frame)
        if count >= PIECE:
            yield np.concatenate(parts)
            parts, count = [], 0
    if parts:
        yield np.concatenate(parts)


def _resampled(pieces: Iterable[Any], own_rate: int, rate: int) -> Any:
    import numpy as np

    av = _library()
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=rate)
    lines = []
    for piece in pieces:
        for start in range(0, len(piece), PIECE):
            frame = av.AudioFrame.from_ndarray(_line(piece[start : start + PIECE]), format="fltp", layout="mono")
            frame.sample_rate = own_rate
            lines += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    lines += [part.to_ndarray()[0] for part in resampler.resample(None)]
    return np.concatenate(lines) if lines else np.empty(0, np.float32)


def _line(samples: Any) -> Any:
    import numpy as np

    return np.ascontiguousarray(samples, dtype=np.float32)[None, :]


def _library() -> Any:
    try:
        import av
    except ImportError as error:
        raise UsageError("decoding and resampling audio needs the package av; pip install 'hfspec[audio]'.") from error
    return av
