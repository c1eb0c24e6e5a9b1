"""The libraries that run models, a row each: what one does differently is a field here, and no test of its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Library:
    """A library that runs models."""

    name: str
    """The value of the spec's key ``library``, and the name of its package."""
    has_pipelines: bool = False
    """Whether ``Predictor.pipeline()`` can give one, and its components are objects by themselves."""
    spreads: bool = False
    """Whether a model can be spread over several devices (``device_map``)."""
    needs_modules: bool = False
    """Whether only modules.json says how token embeddings become one embedding."""
    task_patterns: Mapping[str, re.Pattern[str]] = field(default_factory=lambda: MappingProxyType({}))
    """Task -> a pattern of further names for it."""


LIBRARIES: Mapping[str, Library] = MappingProxyType(
    {
        row.name: row
        for row in (
            Library(
                "transformers",
                has_pipelines=True,
                spreads=True,
                task_patterns=MappingProxyType({"translation": re.compile(r"translation_[A-Za-z]+_to_[A-Za-z]+")}),
            ),
            Library("sentence-transformers", needs_modules=True),
        )
    }
)
