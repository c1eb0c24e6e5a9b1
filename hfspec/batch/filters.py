"""Simple conditions on columns, as ``--where`` has them: ``lang == 'en' and score >= 0.5``."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from hfspec.errors import UsageError

_TOKEN = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_]\w*|`[^`]+`)|(?P<number>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)"
    r"|(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|(?P<sign>==|=|!=|<=|>=|<|>|\(|\)|,))"
)
_SIGNS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        "=": operator.eq,
        "==": operator.eq,
        "!=": operator.ne,
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
    }
)
_WORDS = {"true": True, "false": False}
FORM = (
    "expected conditions such as lang == 'en' and score >= 0.5, with =, !=, <, <=, >, >=, in (…), is null, and, or, not"
)


def parsed(text: str | None) -> Any:
    """The condition as an expression of pyarrow's; None for no condition. Raises UsageError with the cause."""
    if text is None:
        return None
    reader = _Reader(text)
    expression = reader.either()
    if reader.kind:
        raise reader.fault()
    return expression


class _Reader:
    """Tokens of a condition, one ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._cut(text)
        self.kind = self.value = ""
        self.take()

    def _cut(self, text: str) -> Iterator[tuple[str, str]]:
        at = 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                raise UsageError(f"--where {self._text}: {text[at:].strip()[:20]!r} cannot be read; {FORM}")
            at = match.end()
            yield str(match.lastgroup), match[str(match.lastgroup)]

    def take(self) -> str:
        value = self.value
        self.kind, self.value = next(self._tokens, ("", ""))
        return value

    def fault(self) -> UsageError:
        reason = f"{self.value!r} is not expected there" if self.kind else "it ends too early"
        return UsageError(f"--where {self._text}: {reason}; {FORM}")

    def is_word(self, word: str) -> bool:
        return self.kind == "name" and self.value.lower() == word

    def either(self) -> Any:
        expression = self._both()
        while self.is_word("or"):
            self.take()
            expression |= self._both()
        return expression

    def _both(self) -> Any:
        expression = self._one()
        while self.is_word("and"):
            self.take()
            expression &= self._one()
        return expression

    def _one(self) -> Any:
        if self.is_word("not"):
            self.take()
            return ~self._one()
        if self.value == "(" and self.kind == "sign":
            self.take()
            expression = self.either()
            self._expect(")")
            return expression
        return self._condition()

    def _condition(self) -> Any:
        if self.kind != "name":
            raise self.fault()
        import pyarrow.compute as pc

        column = pc.field(self.take().strip("`"))
        if self.is_word("is"):
            return self._is_null(column)
        negated = self.is_word("not")
        if negated:
            self.take()
        if self.is_word("in"):
            self.take()
            expression = column.isin(self._several())
            return ~expression if negated else expression
        if negated or self.value not in _SIGNS or self.kind != "sign":
            raise self.fault()
        return _SIGNS[self.take()](column, self._literal())

    def _is_null(self, column: Any) -> Any:
        self.take()
        negated = self.is_word("not")
        if negated:
            self.take()
        if not self.is_word("null"):
            raise self.fault()
        self.take()
        return column.is_valid() if negated else column.is_null()

    def _several(self) -> list[Any]:
        self._expect("(")
        values = [self._literal()]
        while self.value == "," and self.kind == "sign":
            self.take()
            values.append(self._literal())
        self._expect(")")
        return values

    def _literal(self) -> Any:
        if self.kind == "number":
            return json.loads(self.take())
        if self.kind == "text":
            text = self.take()
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        if self.kind == "name" and self.value.lower() in _WORDS:
            return _WORDS[self.take().lower()]
        raise self.fault()

    def _expect(self, sign: str) -> None:
        if self.kind != "sign" or self.value != sign:
            raise self.fault()
        self.take()
