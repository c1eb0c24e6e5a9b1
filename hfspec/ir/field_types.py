"""JSON values as dataclasses: no key that is unknown, and in every field the type that its dataclass says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, TypeVar

from hfspec.ir.frozen import FrozenDict, freeze

Record = TypeVar("Record")


def check_fields(*records: Any) -> None:
    """Raises TypeError, naming the field, when a dataclass holds something that its annotations do not allow."""
    for record in records:
        for field in fields(record):
            if not CHECKS[str(field.type)](getattr(record, field.name)):
                raise TypeError(f"{type(record).__name__}.{field.name} is no {field.type}")


def records_of(kind: type[Record], values: Any) -> tuple[Record, ...]:
    """A record of ``kind`` for each object of a JSON list; raises TypeError for anything else."""
    if not isinstance(values, list):
        raise TypeError(f"a list of {kind.__name__} is {type(values).__name__}")
    return tuple(kind(**{key: freeze(item) for key, item in value.items()}) for value in values)


def check_keys(kind: type[Any], value: Mapping[str, Any], *others: str) -> None:
    """Raises TypeError, naming it, for a key that is neither a field of ``kind`` nor one of ``others``."""
    unknown = sorted(set(value) - {field.name for field in fields(kind) if field.init} - set(others))
    if unknown:
        raise TypeError(f"{kind.__name__} has no field {unknown[0]!r}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _passed(_: Any) -> bool:
    return True


RECORDS = ("Column", "FileRecord", "Pointer", "SourceRecord", "WrittenFile")
# By the annotation as it is written. Records in records are checked by themselves.
CHECKS: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        **dict.fromkeys(("Json", "Deployment", "Signature"), _passed),
        **dict.fromkeys((f"tuple[{name}, ...]" for name in RECORDS), _passed),
        "str": _is_text,
        "str | None": _or_none(_is_text),
        "bool": lambda value: isinstance(value, bool),
        "int": lambda value: type(value) is int,
        "float | None": _or_none(_is_number),
        "FrozenDict": lambda value: isinstance(value, FrozenDict),
        "tuple[str, ...]": lambda value: isinstance(value, tuple) and all(map(_is_text, value)),
        "tuple[int, ...]": lambda value: isinstance(value, tuple) and all(type(item) is int for item in value),
        "tuple[Json, ...] | None": _or_none(lambda value: isinstance(value, tuple)),
    }
)
