"""YAML as hfspec reads it: the 1.2 core schema, one document, a mapping at the top, a position for every value.

Refused, with the place and what to write instead: duplicate keys, keys that are not text, anchors, aliases, merge keys,
tags, directives, more than one document, ``.inf`` and ``.nan``, integers beyond 64 bits, tabs as indentation, bytes
that are not UTF-8, control characters, and anything too large or too deep to have been written by a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from hfspec.errors import SpecError
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.problem import KeyPath, Origin, Problem
from hfspec.language.kind import SPEC, DocumentKind

MAX_BYTES = 256 * 1024
MAX_SCALAR = 64 * 1024
MAX_DEPTH = 64
QUOTE_TEXT = "Quote it if it is text."
SAVE_AS_UTF8 = "Save the file as UTF-8."
TAB, SPACES = "A tab cannot indent YAML.", "Indent with spaces."
MAX_INTEGER = 2**63

_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_LAYER = "To share settings between {}, use a Hydra `defaults:` list or an interpolation such as `${{name}}`."


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file. ``origins`` and ``texts`` are those of hfspec.ir.tree.Tree; ``head`` holds the comment lines at the
    top of the file, where Hydra looks for ``# @package``. ``problems``: what is wrong with it though it can be read.
    """

    file: str
    value: FrozenDict
    origins: dict[KeyPath, Origin]
    texts: dict[KeyPath, str]
    head: str
    problems: tuple[Problem, ...] = ()


def read_yaml(data: bytes, file: str, kind: DocumentKind = SPEC) -> Document:
    """Read the document in bytes of YAML. A problem does not keep the rest from being read.

    Args:
        data: The bytes.
        file: How problems name the file.
        kind: The kind of document: a spec, or another.

    Returns:
        The document, with its problems.

    Raises:
        SpecError: The text ends too early; with every problem that can be told apart. Nothing else is raised.
    """
    text = _decode(data, file, kind)
    builder = _Builder(file, kind)
    if not _feed(builder, text):
        raise SpecError(builder.problems)
    if builder.root is _NOTHING:
        _refuse("empty-file", f"The file holds no {kind.noun}.", Origin(file), kind.beginning)
    if not isinstance(builder.root, dict) and builder.problems:
        raise SpecError(builder.problems)
    if not isinstance(builder.root, dict):
        message = f"A {kind.noun} must be a mapping of keys to values."
        _refuse("wrong-type", message, builder.origins[()], expected="a mapping")
    problems = tuple(builder.problems)
    return Document(file, FrozenDict(builder.root), builder.origins, builder.texts, _head(text), problems)


def _decode(data: bytes, file: str, kind: DocumentKind) -> str:
    if len(data) > MAX_BYTES:
        size = f"The file has {len(data)} bytes; a {kind.noun} may have {MAX_BYTES}."
        _refuse("too-large", size, Origin(file), f"Keep data out of the {kind.noun}.")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or (len(data) > 1 and 0 in data[:2]):
        message = f"The file is UTF-16 or UTF-32; a {kind.noun} is UTF-8."
        _refuse("encoding", message, Origin(file), SAVE_AS_UTF8)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        place = _place(file, before, len(before))
        _refuse("encoding", f"The byte 0x{data[error.start]:02x} is not UTF-8.", place, SAVE_AS_UTF8)
    if match := _CONTROL.search(text):
        message = f"The file holds the control character U+{ord(match.group()):04X}."
        _refuse("control-character", message, _place(file, text, match.start()), "Remove it.")
    return text


def _place(file: str, text: str, index: int) -> Origin:
    before = text[:index]
    return Origin(file, before.count("\n") + 1, index - before.rfind("\n"))


def _refuse(code: str, message: str, origin: Origin, remedy: str = "", expected: str = "") -> NoReturn:
    raise SpecError([Problem(code, message, origin, remedy=remedy, expected=expected)])


def _head(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            break
        lines.append(line)
    return "\n".join(lines)


def _feed(builder: _Builder, text: str) -> bool:
    """Whether the builder could read the text to its end."""
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        for event in _events(text):
            builder.take(event)
    except _StopError:
        return False
    except MarkedYAMLError as error:
        builder.problems.append(_syntax_problem(builder.file, error, text))
        return False
    except (
        YAMLError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        AssertionError,
        ArithmeticError,
        RecursionError,
    ):
        # The parser's own way of giving up on an escape or a token it did not foresee; the last event tells the place.
        message = "From here on the text is not YAML."
        builder.problems.append(Problem("syntax", message, builder.last, remedy="Check quotes, escapes and brackets."))
        return False
    return True


def _events(text: str) -> Iterator[Any]:
    from ruamel.yaml import YAML

    parser = YAML(typ="safe", pure=True)
    yield from parser.parse(text)


_WORDS_OF_ERRORS = (
    ("character '\\t'", TAB, SPACES),
    ("mapping values are not allowed", "A `:` has no key before it.", "Quote a value that holds `: `."),
    ("could not find expected ':'", "A key has no `:` after it.", "Write `key: value`."),
    ("while scanning a quoted scalar", "A quoted text is not closed or holds an unknown escape.", "Check its quotes."),
    ("while parsing a flow", "A bracket or brace is not closed.", "Check `[ ]` and `{ }`."),
    ("found character '%'", "A value cannot begin with `%`.", "Quote it."),
    ("found character '@'", "A value cannot begin with `@`.", "Quote it."),
    ("found character '`'", "A value cannot begin with a backtick.", "Quote it."),
)


def _syntax_problem(file: str, error: Any, text: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    origin = Origin(file, mark.line + 1, mark.column + 1) if mark else Origin(file)
    reason = f"{error.context or ''} {error.problem or ''}".strip()
    if mark and _line(text, mark.line).lstrip(" ").startswith("\t"):
        return Problem("syntax", TAB, origin, remedy=SPACES)
    for part, message, remedy in _WORDS_OF_ERRORS:
        if part in reason:
            return Problem("syntax", message, origin, remedy=remedy)
    return Problem("syntax", f"This is not YAML: {reason}.", origin, remedy="Check quotes, colons and indentation.")


def _line(text: str, index: int) -> str:
    lines = text.split("\n", index + 1)
    return lines[index] if index < len(lines) else ""


class _StopError(Exception):
    """Reading on would be of no use."""


_NOTHING = object()


@dataclass(slots=True)
class _Level:
    """An open mapping or list: where it stands, its content so far, and the key that waits for its value."""

    path: KeyPath
    content: dict[str, Any] | list[Any]
    key: Any = _NOTHING
    skipped: bool = False


@dataclass(slots=True)
class _Builder:
    """Makes plain values of parser events, without recursion."""

    file: str
    kind: DocumentKind
    root: Any = _NOTHING
    origins: dict[KeyPath, Origin] = field(default_factory=dict)
    texts: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    levels: list[_Level] = field(default_factory=list)
    last: Origin = field(default_factory=Origin)
    documents: int = 0

    def take(self, event: Any) -> None:
        self.last = Origin(self.file, event.start_mark.line + 1, event.start_mark.column + 1)
        kind = type(event).__name__
        if kind == "DocumentStartEvent":
            self._document(event)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self._open({} if kind == "MappingStartEvent" else [], event)
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self.levels.pop()
        elif kind == "AliasEvent":
            self._report(
                "alias", f"The alias `*{event.anchor}` is not part of the language.", _LAYER.format(self.kind.plural)
            )
            self._place_value(None, "")
        elif kind == "ScalarEvent":
            self._scalar(event)

    def _document(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            self._stop(
                "documents",
                f"A second YAML document begins here; a {self.kind.noun} is a single document.",
                f"Write one file a {self.kind.noun}.",
            )
        if event.version or event.tags:
            message = f"A `%` directive is not part of the language; {self.kind.plural} are YAML 1.2."
            self._stop("directive", message, "Remove it.")

    def _open(self, content: dict[str, Any] | list[Any], event: Any) -> None:
        self._decorations(event, None)
        if len(self.levels) >= MAX_DEPTH:
            self._stop("too-deep", f"Values are nested more than {MAX_DEPTH} levels deep.", "Write it flatter.")
        path, skipped = self._place_value(content, "")
        self.levels.append(_Level(path, content, skipped=skipped))

    def _scalar(self, event: Any) -> None:
        plain = event.style is None and event.tag is None
        self._decorations(event, event.tag)
        if len(event.value) > MAX_SCALAR:
            self._stop(
                "too-large", f"A value has {len(event.value)} characters; {MAX_SCALAR} are allowed.", "Shorten it."
            )
        if self._awaits_key():
            self._key(event.value, plain=plain)
        elif plain:
            value = self._resolve(event.value)
            self._place_value(value, "" if isinstance(value, str) else event.value)
        else:
            self._place_value(self._text(event.value), "")

    def _decorations(self, event: Any, tag: Any) -> None:
        if event.anchor is not None:
            self._report(
                "anchor", f"The anchor `&{event.anchor}` is not part of the language.", _LAYER.format(self.kind.plural)
            )
        if event.tag is not None or tag is not None:
            self._report("tag", f"The tag `{event.tag}` is not part of the language.", "Remove it; quote what is text.")

    def _awaits_key(self) -> bool:
        return bool(self.levels) and isinstance(self.levels[-1].content, dict) and self.levels[-1].key is _NOTHING

    def _key(self, key: str, *, plain: bool) -> None:
        level = self.levels[-1]
        if plain and key == "<<":
            self._report(
                "merge-key", "The merge key `<<` is not part of the language.", _LAYER.format(self.kind.plural)
            )
        elif plain and not isinstance(self._resolve(key), str):
            text = key or "nothing"
            self._report("key-type", "A key must be text.", f'Write "{key}", with the quotes.', found=text)
        elif key in level.content and not level.skipped:
            first = self.origins[(*level.path, key)].line
            path = (*level.path, key)
            message = f"The key `{key}` is written twice; it stands on line {first} already."
            self.problems.append(Problem("duplicate-key", message, self.last, path, remedy="Keep one of them."))
            level.key = (None, self.last)
            return
        level.key = (self._text(key), self.last)

    def _place_value(self, value: Any, text: str) -> tuple[KeyPath, bool]:
        """Put a value where the parser stands; gives its path and whether it is left out of the document."""
        if not self.levels:
            self.root = value
            self.origins[()] = self.last
            return (), False
        level = self.levels[-1]
        if isinstance(level.content, list):
            path, origin = (*level.path, len(level.content)), self.last
            level.content.append(value)
        elif level.key is _NOTHING:
            self._report("key-type", "A key must be text, not a mapping or a list.", "Write `key: value`.")
            level.key = (None, self.last)
            return level.path, True
        else:
            (key, origin), level.key = level.key, _NOTHING
            if key is None:
                return level.path, True
            path = (*level.path, key)
            level.content[key] = value
        if not level.skipped:
            self.origins[path] = origin
            if text:
                self.texts[path] = text
        return path, level.skipped

    def _resolve(self, text: str) -> Any:
        """The value of a plain scalar, as the core schema reads it."""
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return self._integer(text)
        if _NOT_FINITE.fullmatch(text) or (_FLOAT.fullmatch(text) and float(text) in (float("inf"), float("-inf"))):
            self._report("not-finite", f"`{text}` is not a number that JSON can hold.", QUOTE_TEXT)
            return 0.0
        return float(text) if _FLOAT.fullmatch(text) else self._text(text)

    def _integer(self, text: str) -> int:
        value = int(text, 0 if text[:2] in ("0o", "0x") else 10) if len(text) < 64 else MAX_INTEGER
        if not -MAX_INTEGER <= value < MAX_INTEGER:
            self._report("integer-size", f"`{text[:40]}` does not fit into 64 bits.", QUOTE_TEXT)
            return 0
        return value

    def _text(self, text: str) -> str:
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            self._report("control-character", "A text holds an escape for a NUL or half a character.", "Remove it.")
        return text

    def _report(self, code: str, message: str, remedy: str, found: str = "") -> None:
        self.problems.append(Problem(code, message, self.last, self._path(), found=found, remedy=remedy))

    def _path(self) -> KeyPath:
        if not self.levels:
            return ()
        level = self.levels[-1]
        if isinstance(level.content, list):
            return (*level.path, len(level.content))
        key = None if level.key is _NOTHING else level.key[0]
        return level.path if key is None else (*level.path, key)

    def _stop(self, code: str, message: str, remedy: str) -> NoReturn:
        self.problems.append(Problem(code, message, self.last, self._path()[:1], remedy=remedy))
        raise _StopError
