"""The same document written in another way: keys in another order, comments, other quotes, blocks and flows."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

BARE = re.compile(r"[abcxyzä]+( [abcxyzä]+)*")


def yaml_text(document: dict[str, Any], random: Random) -> str:
    """YAML for the document in a style that the random numbers choose."""
    return "# a comment at the top\n" + _block(document, random, "")


def _block(value: dict[str, Any], random: Random, indent: str) -> str:
    lines = []
    for key in random.sample(list(value), len(value)):
        if random.random() < 0.3:
            lines.append(f"{indent}# about {key}\n")
        item = value[key]
        if isinstance(item, dict) and item and random.random() < 0.7:
            lines.append(f"{indent}{_key(key, random)}:\n{_block(item, random, indent + '  ')}")
        else:
            comment = random.choice(["", "  # so it is", "\n"])
            lines.append(f"{indent}{_key(key, random)}: {_flow(item, random)}{comment}\n")
    return "".join(lines)


def _flow(value: Any, random: Random) -> str:
    if isinstance(value, dict):
        keys = random.sample(list(value), len(value))
        return "{" + ", ".join(f"{_key(key, random)}: {_flow(value[key], random)}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item, random) for item in value) + random.choice([" ]", "]"])
    if isinstance(value, str):
        return _text(value, random)
    return random.choice(["null", "~"]) if value is None else json.dumps(value)


def _text(value: str, random: Random) -> str:
    styles = [json.dumps(value), json.dumps(value, ensure_ascii=False)]
    if "\n" not in value:
        styles.append("'" + value.replace("'", "''") + "'")
    if BARE.fullmatch(value):
        styles.append(value)
    return random.choice(styles)


def _key(key: str, random: Random) -> str:
    return random.choice([key, json.dumps(key), f"'{key}'"])
