"""Texts that end an answer, wherever in its tokens they lie, and are cut from it.

An answer's text has no special tokens in it; a stop text that is one ends the answer where the model makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hfspec.runtime.io.token_texts import text_of
from hfspec.settings.precedence import Settings

MARGIN = 4  # tokens before a stop text whose bytes may be halves of characters
SPARE = 4  # room for special tokens among those of a stop text; one missed while generating is still cut afterwards


class Cut(NamedTuple):
    """The text before the first stop text, and how many tokens were made up to the end of that stop text."""

    text: str
    tokens: int


def texts(settings: Settings) -> tuple[str, ...]:
    """The stop texts in force; an empty one stops nothing."""
    value = settings.get("stop")
    stops = (value,) if isinstance(value, str) else tuple(value or ())
    return tuple(text for text in stops if text)


def before(text: str, stops: Sequence[str]) -> str | None:
    """The text before the first stop text in it, None when it has none."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else None


def held_back(text: str, stops: Sequence[str]) -> int:
    """How many characters at the text's end could be the beginning of a stop text."""
    longest = max((len(stop) for stop in stops), default=1) - 1
    for size in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-size:]) for stop in stops):
            return size
    return 0


def cut(tokenizer: Any, ids: Sequence[int], stops: Sequence[str]) -> Cut | None:
    """The answer up to its stop text, None when it has none. The answer ends with the first token after which a stop
    text is there; where this token completes several, the one that begins first counts.
    """
    marks = _special(tokenizer, stops)
    marked = next((place for place, token in enumerate(ids) if token in marks), None)
    ids = ids if marked is None else ids[:marked]
    if before(_text(tokenizer, ids), stops) is None:
        return None if marked is None else Cut(_text(tokenizer, ids), marked + 1)
    low, high = 1, len(ids)
    while low < high:
        middle = (low + high) // 2
        if before(_text(tokenizer, ids[:middle]), stops) is None:
            low = middle + 1
        else:
            high = middle
    return Cut(before(_text(tokenizer, ids[:low]), stops) or "", low)


def criteria(tokenizer: Any, stops: Sequence[str], width: int, streamer: Any) -> dict[str, Any]:
    """Arguments of generate() that end each row at a stop text, and all rows when the reader abandons the streamer."""
    if not stops and streamer is None:
        return {}
    from transformers import StoppingCriteriaList

    return {"stopping_criteria": StoppingCriteriaList([_Ending(tokenizer, stops, width, streamer)])}


class _Ending:
    """A stopping criterion for generate(); ``width``: how many tokens the prompts have, padding included."""

    def __init__(self, tokenizer: Any, stops: Sequence[str], width: int, streamer: Any) -> None:
        self.watch, self.width, self.streamer = Watch(tokenizer, stops), width, streamer

    def __call__(self, input_ids: Any, scores: Any, **options: Any) -> Any:
        import torch

        over = self.streamer is not None and self.streamer.abandoned
        first = max(self.width, input_ids.shape[1] - SPARE * self.watch.reach)
        ended = [over or self.watch.has_stop(line) for line in input_ids[:, first:].tolist()]
        return torch.tensor(ended, dtype=torch.bool, device=input_ids.device)


class Watch:
    """The watch for a stop text at the end of an answer; true where there are any to watch for."""

    def __init__(self, tokenizer: Any, stops: Sequence[str]) -> None:
        self.tokenizer, self.stops = tokenizer, stops
        self.special = set(tokenizer.all_special_ids)
        self.marks = _special(tokenizer, stops)
        self.reach = max((len(stop.encode()) for stop in stops), default=0) + MARGIN

    def __bool__(self) -> bool:
        return bool(self.stops)

    def has_stop(self, ids: list[int]) -> bool:
        """Whether a stop text is at the end: only as many tokens are decoded as it can have, one a byte."""
        if not self.stops:
            return False
        if ids and ids[-1] in self.marks:
            return True
        tail: list[int] = []
        for token in reversed(ids):
            if token not in self.special:
                tail.append(token)
            if len(tail) >= self.reach:
                break
        return before(_text(self.tokenizer, tail[::-1]), self.stops) is not None


def _special(tokenizer: Any, stops: Sequence[str]) -> set[int]:
    """The special tokens that are stop texts."""
    return {token for token in tokenizer.all_special_ids if tokenizer.convert_ids_to_tokens(token) in stops}


def _text(tokenizer: Any, ids: Sequence[int]) -> str:
    return text_of(tokenizer, ids, skip_special_tokens=True)
