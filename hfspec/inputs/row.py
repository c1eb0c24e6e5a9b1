"""One row of a caller's input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One row of input: its place, counted from 0, and the values of the task's columns that it has. ``single``: it
    came by itself, in no list, which matters to tasks that answer one row otherwise than a list of one.
    """

    number: int
    values: Mapping[str, Any]
    single: bool = False
