"""A request for a transcript as OpenAI's API has it, and its answer as JSON, text or subtitles."""

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
class Asked:
    """What a form asks for. ``settings``: those of the task; ``times``: which of the answer's parts are timed."""

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


def read(form: FormData, *, translates: bool) -> Asked:
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
    return Asked(settings, kind, _times(form, kind), translates)


def written(made: Mapping[Any, Mapping[str, Any]], asked: Asked) -> dict[str, Any] | str:
    """The answer, from what each pass has made."""
    first = next(iter(made.values()))
    text = str(first["text"]).strip()
    if asked.form == "text":
        return text + "\n"
    if asked.form == "json":
        return {"text": text, "usage": _usage(first)}
    words = _timed(made.get("word"), "word")
    segments = _timed(made.get(True), "text") or _whole(words, text, first["seconds"])
    if asked.form != "verbose_json":
        return "".join(_subtitles(segments, asked.form))
    answer = {
        "task": "translate" if asked.translates else "transcribe",
        "language": first.get("language") or asked.settings.get("language"),
        "duration": first["seconds"],
        "text": text,
        "usage": _usage(first),
    }
    if "segment" in asked.times:
        answer["segments"] = [{"id": number, **segment} for number, segment in enumerate(segments)]
    if "word" in asked.times:
        answer["words"] = words
    return answer


def _usage(made: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "duration", "seconds": made["seconds"]}


def _temperature(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (found := float(text)) <= 2:
            return found
    raise _refused("temperature", f"expected a number from 0 to 2; found {text!r}")


def _times(form: FormData, kind: str) -> tuple[str, ...]:
    given = [str(value) for name in sorted(LISTS) for value in form.getlist(name)]
    for value in given:
        if value not in GRANULARITIES:
            raise _not_one_of("timestamp_granularities", GRANULARITIES, value)
    if given and kind != "verbose_json":
        raise _refused("timestamp_granularities", "needs response_format verbose_json")
    if kind not in TIMED:
        return ()
    return tuple(dict.fromkeys(given)) or ("segment",)


def _timed(made: Mapping[str, Any] | None, name: str) -> list[dict[str, Any]]:
    """The chunks with their start and end; one that has no end lasts as long as the sound."""
    found = []
    for chunk in (made or {}).get("chunks") or ():
        start, end = chunk["timestamp"]
        assert made is not None
        last = made["seconds"] if end is None else end
        found.append({"start": start or 0.0, "end": last, name: str(chunk["text"]).strip()})
    return found


def _whole(words: Sequence[Mapping[str, Any]], text: str, seconds: float) -> list[dict[str, Any]]:
    """One segment of all words, of a model that times no segments."""
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
    return RequestError(400, f"{key.removesuffix('[]')[:80]}: {reason}.", "FormError")
