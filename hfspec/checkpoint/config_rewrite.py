"""``config.json`` with the dtype that the weights were cast to, and with the labels of an adapter's head."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LABEL_KEYS = ("id2label", "label2id", "num_labels", "_num_labels")
DTYPE_KEYS = ("dtype", "torch_dtype")


def with_dtype(config: Mapping[str, Any], dtype: str) -> bytes:
    """The config's bytes with every dtype it states, at any depth, replaced, and stated at the top in any case."""
    rewritten = _replaced(config, dtype)
    if not any(key in rewritten for key in DTYPE_KEYS):
        rewritten["dtype"] = dtype
    return (json.dumps(rewritten, indent=2, ensure_ascii=False) + "\n").encode()


def with_labels(config: Mapping[str, Any], count: int | None) -> Mapping[str, Any]:
    """The config for a head of another number of labels than it says, which then have no names; as it is for None."""
    if count is None:
        return config
    names = {str(number): f"LABEL_{number}" for number in range(count)}
    rest = {key: value for key, value in config.items() if key not in LABEL_KEYS}
    return {**rest, "id2label": names, "label2id": {name: int(number) for number, name in names.items()}}


def says(config: Mapping[str, Any], dtype: str) -> bool:
    """Whether every dtype that the config states is this one, and the top states one."""
    return any(key in config for key in DTYPE_KEYS) and _replaced(config, dtype) == config


def _replaced(config: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    return {
        key: dtype
        if key in DTYPE_KEYS and isinstance(value, str)
        else _replaced(value, dtype)
        if isinstance(value, dict)
        else value
        for key, value in config.items()
    }
