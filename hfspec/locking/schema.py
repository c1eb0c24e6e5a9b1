"""The JSON Schema of locks, generated from the models in hfspec.ir.lock; draft 2020-12."""

from __future__ import annotations

from typing import Any

from hfspec.ir.lock import Lock

SCHEMA_ID = "urn:hfspec:schema:lock:1"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def lock_schema() -> dict[str, Any]:
    """The schema of a lock file.

    That paths stay inside their source, and that files are sorted and roles distinct, only the models check.
    """
    generated = _untitled(Lock.model_json_schema())
    return {"$schema": DIALECT, "$id": SCHEMA_ID, "title": "hfspec lock", **generated}


def _untitled(value: Any) -> Any:
    """Without the titles that only repeat the key."""
    if isinstance(value, list):
        return [_untitled(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _untitled(item) for key, item in value.items() if key != "title" or not isinstance(item, str)}
