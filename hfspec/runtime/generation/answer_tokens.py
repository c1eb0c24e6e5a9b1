"""Where an answer ends among the tokens of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfspec.runtime.io.token_texts import text_of


def end_tokens(tokens: int | Sequence[int] | None) -> set[int]:
    """The tokens that end an answer, however a config writes them."""
    if tokens is None:
        return set()
    return {tokens} if isinstance(tokens, int) else set(tokens)


def answer_tokens(line: list[int], config: Any) -> tuple[list[int], bool]:
    """The tokens of an answer up to the one that ended it, that one included, and whether one did; what follows it in a
    batch is padding.
    """
    ends = end_tokens(config.eos_token_id)
    fill = {config.pad_token_id} if config.stop_strings is not None else set()
    last = next((place for place, token in enumerate(line) if token in ends | fill), None)
    return (line, False) if last is None else (line[: last + (line[last] in ends)], True)


def has_stop_text(tokenizer: Any, ids: Sequence[int], config: Any) -> bool:
    """Whether one of the config's stop strings is in the text of these tokens, special tokens included: some models are
    trained to end with one.
    """
    stops = config.stop_strings
    if not stops:
        return False
    text = text_of(tokenizer, ids)
    return any(stop in text for stop in ([stops] if isinstance(stops, str) else stops))
