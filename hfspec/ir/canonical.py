"""The one way hfspec writes JSON that is digested."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def canonical(value: Mapping[str, Any]) -> bytes:
    """The JSON text of ``value``: sorted keys, two-space indent, one last newline. Equal values are equal bytes.

    Raises ValueError for nan and infinity, which are not JSON.
    """
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def digest_of(value: Mapping[str, Any]) -> str:
    """sha256 in hex of the canonical bytes."""
    return hashlib.sha256(canonical(value)).hexdigest()
