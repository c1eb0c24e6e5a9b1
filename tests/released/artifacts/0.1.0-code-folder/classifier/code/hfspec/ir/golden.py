"""A golden example: what predict is given, and the answer that must come back. The runtime reads it, so no pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hfspec.ir.field_types import check_fields
from hfspec.ir.frozen import FrozenDict, Json, freeze, thaw


@dataclass(frozen=True, slots=True)
class Golden:
    """``output``: the answer as JSON, in the form that predict gives unless told otherwise. ``tolerance``: the largest
    absolute difference of numbers; None for that of the deployment's dtype.
    """

    input: Json
    output: Json
    params: FrozenDict = field(default_factory=FrozenDict)
    tolerance: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {key: thaw(getattr(self, key)) for key in self.__slots__}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Golden:
        """The inverse of to_json; raises TypeError on any other shape."""
        golden = cls(**{key: freeze(item) for key, item in value.items()})
        check_fields(golden)
        return golden
