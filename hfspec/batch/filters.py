"""Simple conditions on columns, as ``--where`` has them: ``lang == 'en' and score >= 0.5``."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hfspec.errors import UsageError

_TOKEN = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_]\w*|`[^`]+`)|(?P<number>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)"
    r"|(?P<text>'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\")|(?P<sign>==|=|!=|<>|<=|>=|<|>|\(|\)|,))"
)
_SIGNS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        "=": operator.eq,
        "==": operator.eq,
        "!=": operator.ne,
        "<>": operator.ne,
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


def parsed(text: str, schema: pa.Schema | None = None) -> Any:
    """The condition as an expression of pyarrow's, on columns of the schema where there is one. Raises UsageError with
    the cause.
    """
    reader = _Reader(text, schema)
    expression = reader.either()
    if reader.kind:
        raise reader.fault()
    return expression


def columns_of(schema: pa.Schema) -> str:
    """The columns, as an error lists them."""
    return f"the input has the columns {', '.join(f'{field.name} ({field.type})' for field in schema)}"


class _Reader:
    """Tokens of a condition, one ahead."""

    def __init__(self, text: str, schema: pa.Schema | None) -> None:
        self._text, self._schema = text, schema
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
        column = self._column(self.take().strip("`"))
        if self.is_word("is"):
            return self._is_null(pc.field(column.name))
        negated = self.is_word("not")
        if negated:
            self.take()
        if self.is_word("in"):
            self.take()
            expression = _any([pc.field(column.name) == value for value in self._several(column)])
            return ~expression if negated else expression
        if negated or self.value not in _SIGNS or self.kind != "sign":
            raise self.fault()
        return _SIGNS[self.take()](pc.field(column.name), self._literal(column))

    def _column(self, name: str) -> pa.Field:
        if self._schema is None:
            return pa.field(name, pa.null())
        if name not in self._schema.names:
            raise UsageError(f"--where {self._text}: there is no column {name}; {columns_of(self._schema)}")
        return self._schema.field(name)

    def _is_null(self, column: Any) -> Any:
        self.take()
        negated = self.is_word("not")
        if negated:
            self.take()
        if not self.is_word("null"):
            raise self.fault()
        self.take()
        return column.is_valid() if negated else column.is_null()

    def _several(self, column: pa.Field) -> list[Any]:
        self._expect("(")
        values = [self._literal(column)]
        while self.value == "," and self.kind == "sign":
            self.take()
            values.append(self._literal(column))
        self._expect(")")
        return values

    def _literal(self, column: pa.Field) -> pa.Scalar:
        """The value at hand, as one that can be compared with the column's."""
        shown, value = self.value, self._plain()
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        is_text, is_time = isinstance(value, str), pa.types.is_temporal(kind)
        try:
            if is_time and is_text:
                return pa.scalar(value).cast(kind)
            if pa.types.is_decimal(kind) and not is_text:
                return pa.scalar(Decimal(shown))
            scalar = pa.scalar(value)
            pc.equal(pa.nulls(0, kind), scalar)
        except (pa.ArrowException, ArithmeticError) as error:
            form = "text" if is_text else "a number"
            example = "; write it as '2026-01-31' or '2026-01-31T12:00:00Z'" if is_time else ""
            columns = f"; {columns_of(self._schema)}" if self._schema else ""
            raise UsageError(
                f"--where {self._text}: the column {column.name} is {column.type}, which cannot be compared with"
                f" {shown}, {form}{example}{columns}"
            ) from error
        return scalar

    def _plain(self) -> Any:
        if self.kind == "number":
            return json.loads(self.take())
        if self.kind == "text":
            mark, text = self.value[0], self.take()[1:-1]
            return re.sub(rf"\\(.)|{mark}({mark})", r"\1\2", text)
        if self.kind == "name" and self.value.lower() in _WORDS:
            return _WORDS[self.take().lower()]
        raise self.fault()

    def _expect(self, sign: str) -> None:
        if self.kind != "sign" or self.value != sign:
            raise self.fault()
        self.take()


def _any(conditions: list[Any]) -> Any:
    """Whether one of them is so; null for a null, as with SQL's ``in``. Halves keep the expression shallow."""
    middle = len(conditions) // 2
    return conditions[0] if not middle else _any(conditions[:middle]) | _any(conditions[middle:])
