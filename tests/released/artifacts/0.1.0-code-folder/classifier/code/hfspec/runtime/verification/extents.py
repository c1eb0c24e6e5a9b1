"""Numbers in a config.json that no model has, and that would keep the library busy, or take all memory, before it could
say that they are wrong: it makes layers one by one, names every label, and numbers every position.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

# Key, and the largest value that anything has a use for.
EXTENTS = (
    (re.compile(r"(?:.*_)?(?:layers?|blocks|depths?|experts|stages|groups|group_num)"), 10_000),
    (re.compile(r"_?num_(?:labels|classes)"), 1_000_000),
    (re.compile(r"(?:.*_)?(?:positions?|position_embeddings|ctx)"), 100_000_000),
)


def extent_faults(config: Any, name: str = "") -> Iterator[tuple[str, int, int]]:
    """Key, value and what it may be at most, of each number that is too large; at any depth, lists included."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from extent_faults(value, str(key))
    elif isinstance(config, list):
        for value in config:
            yield from extent_faults(value, name)
    elif isinstance(config, int | float):
        for pattern, most in EXTENTS:
            if config > most and pattern.fullmatch(name):
                yield name, int(min(config, 10**30)), most
