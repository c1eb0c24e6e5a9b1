"""Sizes in bytes, written ``64MiB``."""

from __future__ import annotations

import re
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from hfspec.ir.patterns import END
from hfspec.ir.spec_keys import integral

UNITS = MappingProxyType({"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "GB": 10**9, "MB": 10**6, "KB": 10**3, "B": 1})
PATTERN = rf"^[1-9][0-9]*(\.[0-9]+)?({'|'.join(UNITS)}){END}"
SIZE: dict[str, Any] = {"type": ["string", "integer"], "pattern": PATTERN, "minimum": 1, "examples": ["64MiB", "1GB"]}
SIZE_OR_NONE = SIZE | {"pattern": rf"^0{END}|{PATTERN}", "minimum": 0}


def size_in_bytes(value: object) -> int:
    """``64MiB`` is 64 * 2**20; a whole number counts bytes. Raises ValueError."""
    value = integral(value)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = re.fullmatch(r"([0-9.]+)([A-Za-z]+)", value) if isinstance(value, str) else None
    if match is None or not re.match(PATTERN, str(value)):
        raise ValueError("must be a size such as 64MiB")
    return int(Decimal(match[1]) * UNITS[match[2]])


def size_or_none(value: object) -> int:
    """As ``size_in_bytes``, and 0 for nothing. Raises ValueError."""
    value = integral(value)
    return 0 if (value == 0 and not isinstance(value, bool)) or value == "0" else size_in_bytes(value)


def size_text(value: int) -> str:
    """The size in the greatest unit that it is a whole number of."""
    if not value:
        return "0"
    unit = next(unit for unit, bytes_ in UNITS.items() if value % bytes_ == 0)
    return f"{value // UNITS[unit]}{unit}"
