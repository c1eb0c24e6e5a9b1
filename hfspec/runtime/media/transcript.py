"""The answer of every speech recogniser, and the cutting of audio into overlapping chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hfspec.errors import ParamsError
from hfspec.inputs.row import Row
from hfspec.runtime.media.audio import Wave
from hfspec.runtime.scheduling.batching import Item
from hfspec.settings.precedence import Settings


@dataclass(frozen=True, slots=True)
class Chunk:
    """Samples ``start`` to ``end`` of a sound; it shares ``left`` and ``right`` of them with the chunks beside it."""

    start: int
    end: int
    left: int
    right: int

    @property
    def stride(self) -> tuple[int, int, int]:
        """(samples, shared on the left, shared on the right)."""
        return self.end - self.start, self.left, self.right


@dataclass(frozen=True, slots=True)
class Transcript:
    """A row's result. ``chunks``: texts with their [start, end] in seconds, None where nothing was timed; the end of
    the last is None where the model gives none. ``about``: other facts.
    """

    text: str
    seconds: float
    chunks: Sequence[Mapping[str, Any]] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def full(self) -> dict[str, Any]:
        timed = {}
        if self.chunks is not None:
            timed["chunks"] = [{**chunk, "timestamp": _seconds(chunk["timestamp"])} for chunk in self.chunks]
        return {"text": self.text, **timed, "seconds": self.seconds, **self.about}


def _seconds(times: Sequence[Any]) -> list[float | None]:
    """[start, end] as plain numbers."""
    return [None if time is None else float(time) for time in times]


class Recognizer(Protocol):
    """A kind of speech model; the methods are those of Runner."""

    def own_settings(self) -> Mapping[str, Any]: ...

    def check(self, settings: Settings) -> None: ...

    def items(self, sound: Wave, row: Row, settings: Settings) -> list[Item[Any]]: ...

    def run(self, batch: Sequence[Item[Any]], settings: Settings) -> Any: ...

    def read(self, output: Any, batch: Sequence[Item[Any]], settings: Settings) -> Sequence[Any]: ...

    def joined(self, parts: Sequence[Any], settings: Settings) -> Transcript: ...


def chunks(length: int, rate: int, align: int, settings: Settings) -> Iterator[Chunk]:
    """The chunks of ``length`` samples, each chunk and stride a whole number of ``align`` samples; none unless
    chunk_length_s is set.
    """
    sizes = chunk_sizes(rate, align, settings)
    if sizes is None:
        return
    size, before, after = sizes
    for start in range(0, length, size - before - after):
        is_last = start + size >= length
        mine = Chunk(start, min(start + size, length), before if start else 0, 0 if is_last else after)
        if mine.end - mine.start > mine.left:
            yield mine
        if is_last:
            return


def chunk_sizes(rate: int, align: int, settings: Settings) -> tuple[int, int, int] | None:
    """(chunk, left stride, right stride) in samples, None without chunk_length_s.

    Raises ParamsError for strides that leave no room or have no chunk.
    """
    seconds, stride = settings.get("chunk_length_s"), settings.get("stride_length_s")
    if seconds is None:
        if stride is not None:
            raise ParamsError(
                "stride_length_s says how far chunks overlap, and needs chunk_length_s to be set too.",
                "stride_length_s",
            )
        return None
    sides = seconds / 6 if stride is None else stride
    both = list(sides) if isinstance(sides, list | tuple) else [sides, sides]
    if len(both) != 2 or min(both) < 0:
        raise ParamsError(
            f"stride_length_s must be one number or [left, right], none below 0, not {stride!r}.", "stride_length_s"
        )
    size, before, after = (round(side * rate / align) * align for side in (seconds, *both))
    if size <= before + after:
        raise ParamsError(
            f"chunk_length_s ({seconds} s) must be longer than what chunks share on both sides ({sum(both):g} s).",
            "chunk_length_s",
        )
    return size, before, after


def refuse_given(settings: Settings, names: Sequence[str], kind: str) -> None:
    """Raises ParamsError for settings of the spec or the caller that this kind of model cannot use."""
    useless = [name for name in names if name in settings and settings.origin(name) != "hfspec default"]
    useless = [name for name in useless if settings[name] is not None]
    if useless:
        raise ParamsError(f"{', '.join(useless)}: of no use to {kind}; leave it out.", useless[0])
