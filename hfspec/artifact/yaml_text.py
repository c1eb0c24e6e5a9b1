"""JSON values as YAML, one text for one value: read alike by parsers of YAML 1.1 and 1.2."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
# Words that some parser takes for a boolean, null or number.
NOT_PLAIN = frozenset(["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"])
NOT_PRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


def to_yaml(value: Mapping[str, Any]) -> str:
    """The mapping in block style, keys in their own order, ending with a line break."""
    return "\n".join(_mapping(value, "")) + "\n"


def _lines(value: Any, indent: str) -> Iterator[str]:
    return _mapping(value, indent) if isinstance(value, Mapping) else _sequence(value, indent)


def _mapping(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, item in value.items():
        if _is_block(item):
            yield f"{indent}{_scalar(str(key))}:"
            yield from _lines(item, f"{indent}  ")
        else:
            yield f"{indent}{_scalar(str(key))}: {_scalar(item)}"


def _sequence(value: Sequence[Any], indent: str) -> Iterator[str]:
    for item in value:
        if _is_block(item):
            first, *rest = _lines(item, f"{indent}  ")
            yield f"{indent}- {first.removeprefix(f'{indent}  ')}"
            yield from rest
        else:
            yield f"{indent}- {_scalar(item)}"


def _is_block(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple) and bool(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value if _may_be_plain(value) else NOT_PRINTABLE.sub(_escaped, json.dumps(value, ensure_ascii=False))
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list | tuple):
        return "[]"
    if isinstance(value, float):
        return _number(value)
    return json.dumps(value)


def _number(value: float) -> str:
    """YAML 1.1 reads ``1e-05`` as a text: it wants a point and a signed exponent."""
    text = json.dumps(value)
    mantissa, exponent, power = text.partition("e")
    if not exponent:
        return text
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{power if power[0] in '+-' else '+' + power}"


def _may_be_plain(text: str) -> bool:
    return PLAIN.fullmatch(text) is not None and text.lower() not in NOT_PLAIN


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"
