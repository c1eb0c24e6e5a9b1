"""Where a checkpoint says that its weights are quantised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

QUANTISED = "quantization_config"
# Parts of a composite config.json in which transformers looks for it after the whole (get_hf_quantizer).
TEXT_PARTS = ("text_config", "decoder", "generator")


def quantisation(raw: Mapping[str, Any]) -> Any:
    """The entry of config.json ``raw`` on how all weights, or those of its text part, are quantised; None where it has
    none.
    """
    parts = (raw, *(raw.get(name) for name in TEXT_PARTS))
    entries = (part.get(QUANTISED) for part in parts if isinstance(part, Mapping))
    return next((entry for entry in entries if entry is not None), None)


def without_quantisation(raw: Mapping[str, Any]) -> dict[str, Any]:
    """config.json as that of a plain checkpoint."""
    plain = {key: value for key, value in raw.items() if key != QUANTISED}
    for name in TEXT_PARTS:
        if isinstance(raw.get(name), Mapping) and QUANTISED in raw[name]:
            plain[name] = {key: value for key, value in raw[name].items() if key != QUANTISED}
    return plain
