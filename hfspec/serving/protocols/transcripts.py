"""OpenAI's request for a transcript, and its answer as JSON, text or subtitles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData

from hfspec.serving.front.errors import RequestError

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
TIMED = frozenset({"srt", "verbose_json", "vtt"})
GRANULARITIES = ("segment", "word")
KEYS = frozenset({"file", "model", "language", "prompt", "response_format", "temperature", "stream"})
WITHOUT_EFFECT = frozenset({"user", "chunking_strategy"})
LISTS = frozenset({"timestamp_granularities[]", "timestamp_granularities"})


@dataclass(frozen=True, slots=True)
class TranscriptRequest:
    """The request of a form. ``settings``: the task's settings; ``times``: which of the answer's parts are timed."""

    settings: Mapping[str, Any]
    form: str
    times: tuple[str, ...]
    translates: bool

    @property
    def media_type(self) -> str:
        """The kind of an answer that is text."""
        return "text/vtt" if self.form == "vtt" else "text/plain"

    def passes(self, *, is_whisper: bool) -> list[Any]:
        """The value of return_timestamps of each pass over the sound; None where nothing is timed. A CTC model times
        words and nothing else.
        """
        if not self.times:
            return [None]
        if not is_whisper:
            return ["word"]
        return ["word" if kind == "word" else True for kind in self.times]


def read(form: FormData, *, translates: bool) -> TranscriptRequest:
    """The form's fields, but for the file and the model; raises RequestError."""
    for key in form:
        if key not in KEYS | WITHOUT_EFFECT | LISTS:
            raise _refused(key, "is not supported; leave it out of the form")
        if key != "file" and not isinstance(form[key], str):
            raise _refused(key, "expected a text, found a file")
    if str(form.get("stream", "false")).lower() not in ("false", "0"):
        raise _refused("stream", "a transcript is not streamed; leave it out")
    if translates and "language" in form:
        raise _refused("language", "a translation is into English; leave it out")
    kind = str(form.get("response_format", "json"))
    if kind not in FORMATS:
        raise _not_one_of("response_format", FORMATS, kind)
    settings: dict[str, Any] = {name: form[name] for name in ("language", "prompt") if form.get(name)}
    if form.get("temperature"):
        settings["temperature"] = _temperature(str(form["temperature"]))
    return TranscriptRequest(settings, kind, _times(form, kind), translates)


def written(results: Mapping[Any, Mapping[str, Any]], request: TranscriptRequest) -> dict[str, Any] | str:
    """The answer, from the result of each pass."""
    first = next(iter(results.values()))
    text = str(first["text"]).strip()
    if request.form == "text":
        return text + "\n"
    if request.form == "json":
        return {"text": text, "usage": _usage(first)}
    words = _timed(results.get("word"), "word")
    segments = _timed(results.get(True), "text") or _whole(words, text, first["seconds"])
    if request.form != "verbose_json":
        return "".join(_subtitles(segments, request.form))
    answer = {
        "task": "translate" if request.translates else "transcribe",
        "language": first.get("language") or request.settings.get("language"),
        "duration": first["seconds"],
        "text": text,
        "usage": _usage(first),
    }
    if "segment" in request.times:
        answer["segments"] = [{"id": number, **segment} for number, segment in enumerate(segments)]
    if "word" in request.times:
        answer["words"] = words
    return answer


def _usage(result: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "duration", "seconds": result["seconds"]}


def _temperature(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (value := float(text)) <= 2:
            return value
    raise _refused("temperature", f"expected a number from 0 to 2; found {text!r}")


def _times(form: FormData, kind: str) -> tuple[str, ...]:
    values = [str(value) for name in sorted(LISTS) for value in form.getlist(name)]
    for value in values:
        if value not in GRANULARITIES:
            raise _not_one_of("timestamp_granularities", GRANULARITIES, value)
    if values and kind != "verbose_json":
        raise _refused("timestamp_granularities", "needs response_format verbose_json")
    if kind not in TIMED:
        return ()
    return tuple(dict.fromkeys(values)) or ("segment",)


def _timed(result: Mapping[str, Any] | None, name: str) -> list[dict[str, Any]]:
    """The chunks with their start and end; one that has no end lasts as long as the sound."""
    parts = []
    for chunk in (result or {}).get("chunks") or ():
        start, end = chunk["timestamp"]
        assert result is not None
        last = result["seconds"] if end is None else end
        parts.append({"start": start or 0.0, "end": last, name: str(chunk["text"]).strip()})
    return parts


def _whole(words: Sequence[Mapping[str, Any]], text: str, seconds: float) -> list[dict[str, Any]]:
    """One segment of all words, for a model that times no segments."""
    start = words[0]["start"] if words else 0.0
    end = words[-1]["end"] if words else seconds
    return [{"start": start, "end": end, "text": text}] if text else []


def _subtitles(segments: Sequence[Mapping[str, Any]], kind: str) -> Iterator[str]:
    if kind == "vtt":
        yield "WEBVTT\n\n"
    mark = "," if kind == "srt" else "."
    for number, segment in enumerate(segments, start=1):
        if kind == "srt":
            yield f"{number}\n"
        text = " ".join(segment["text"].split()).replace("-->", "->")
        yield f"{_clock(segment['start'], mark)} --> {_clock(segment['end'], mark)}\n{text}\n\n"


def _clock(seconds: float, mark: str) -> str:
    whole = round(seconds * 1000)
    minutes, rest = divmod(whole, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{mark}{rest % 1000:03}"


def _not_one_of(key: str, values: Iterable[str], value: str) -> RequestError:
    return _refused(key, f"expected one of {', '.join(values)}; found {value[:40]!r}")


def _refused(key: str, reason: str) -> RequestError:
    name = key.removesuffix("[]")[:80]
    return RequestError(400, f"{name}: {reason}.", "FormError", key=name)
