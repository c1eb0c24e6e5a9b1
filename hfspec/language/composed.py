"""The schema of a composed spec, read as it was generated: to generate it takes longer than to check a spec by it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def schema() -> dict[str, Any]:
    """The result of hfspec.language.schema.composed_schema, as `make docs` has written it. Not to be changed."""
    text = Path(__file__).with_name("composed.schema.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def component_names() -> frozenset[str]:
    """Every component that a spec may replace."""
    return frozenset(schema()["$defs"]["Components"]["properties"])
