"""The differences between two locks, such as the one in git and the one that would be written now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hfspec.ir.lock import Change, Lock, LockedFile, LockedSource

NOTHING = "nothing"
CODE = ".py"


def changes(before: Lock, after: Lock) -> tuple[Change, ...]:
    """Everything in which ``after`` differs, in the order of a lock's keys; none for equal locks."""
    versions = entries("version", "", before.versions, after.versions)
    return (*_spec(before, after), *_sources(before, after), *_settings(before, after), *versions)


def entries(code: str, kind: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    """The names under which two mappings do not say the same, sorted; ``kind`` stands before each in the message."""
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if before != after:
            yield Change(code, name, _differs(f"{kind}{name}", before, after), before, after)


def _spec(before: Lock, after: Lock) -> Iterator[Change]:
    if before.spec_digest != after.spec_digest:
        yield Change("spec", "spec", "the spec changed since it was locked", before.spec_digest, after.spec_digest)
    for key in ("name", "library", "task"):
        old, new = getattr(before, key), getattr(after, key)
        if old != new:
            yield Change("task" if key == "task" else "spec", key, f"{key}: {old} -> {new}", old, new)


def _sources(before: Lock, after: Lock) -> Iterator[Change]:
    old = {source.role: source for source in before.sources}
    new = {source.role: source for source in after.sources}
    for role, source in old.items():
        if role not in new:
            yield Change("source-removed", role, f"{role}: {_named(source)} is no longer used", _named(source))
    for role, source in new.items():
        if role not in old:
            yield Change("source-added", role, f"{role}: {_named(source)} is not in the lock", None, _named(source))
        else:
            yield from _source(old[role], source)


def _source(old: LockedSource, new: LockedSource) -> Iterator[Change]:
    if old.origin != new.origin:
        was, now = _named(old), _named(new)
        yield Change("source-moved", old.role, f"{old.role}: {was} -> {now}", was, now)
    if old.commit != new.commit:
        text = f"{old.role}: {_named(new)} moved: {old.commit or NOTHING} -> {new.commit or NOTHING}"
        yield Change("commit", old.role, text, old.commit, new.commit)
    was_files = {file.path: file for file in old.files}
    now_files = {file.path: file for file in new.files}
    for path in sorted({*was_files, *now_files}):
        if was_files.get(path) != now_files.get(path):
            yield _file(f"{old.role}: {path}", was_files.get(path), now_files.get(path))


def _file(place: str, old: LockedFile | None, new: LockedFile | None) -> Change:
    before, after = (file.sha256 if file else None for file in (old, new))
    if new is None:
        return Change("file", place, f"{place}: the file is gone", before, after)
    if old is None:
        what = "a new code file, to be read before it is locked" if new.path.endswith(CODE) else "a new file"
        return Change("file", place, f"{place}: {what} ({new.size} bytes)", before, after)
    sizes = f"{old.size} -> {new.size} bytes" if old.size != new.size else f"{new.size} bytes as before"
    return Change("file", place, f"{place}: other bytes ({sizes})", before, after)


def _settings(before: Lock, after: Lock) -> Iterator[Change]:
    yield from entries("chat-template", "chat template ", before.chat_templates, after.chat_templates)
    old, new = before.generation_config, after.generation_config
    if old != new:
        yield Change("generation-config", "generation_config", _differs("generation config", old, new), old, new)
    was, now = before.calibration, after.calibration
    if was != now:
        yield Change("calibration", "quantization.calibration", _differs("calibration file", was, now), was, now)


def _differs(what: str, old: str | None, new: str | None) -> str:
    return f"{what}: {_short(old)} -> {_short(new)}"


def _short(value: str | None) -> str:
    return NOTHING if value is None else value[:12] if len(value) == 64 else value


def _named(source: LockedSource) -> str:
    return f"{source.kind} {source.location}" + (f" at {source.revision}" if source.revision else "")
