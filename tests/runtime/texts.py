"""Texts as users have them."""

from __future__ import annotations

import random

import pytest

PLAIN = "a fine film"
MIXED = (
    PLAIN,
    "",
    "Short.",
    "The house on the hill was sold last spring, and nobody in the village knew who had bought it.",
    "😀 emoji 👩‍👩‍👧 and ☕",
    "中文文本，没有空格。",
    "नमस्ते दुनिया",
    "שלום עולם",
    "tabs\tand\nline breaks\r\n",
    "   spaces around   ",
    "5",
    "None",
    "'quoted'",
    "{'text': 'a', 'text_pair': 'b'}",
    "word " * 20,
    PLAIN,
)


def shuffled(texts: tuple[str, ...], seed: int = 7) -> list[str]:
    result = list(texts)
    random.Random(seed).shuffle(result)
    return result


def close(answer):
    """Numbers within the rounding of float32, at any depth."""
    if isinstance(answer, float):
        return pytest.approx(answer, abs=2e-5)
    if isinstance(answer, list):
        return [close(part) for part in answer]
    return {key: close(part) for key, part in answer.items()} if isinstance(answer, dict) else answer
