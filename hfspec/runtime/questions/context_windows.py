"""A question and its context as windows that a model can read: the question whole, the context in overlapping parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.errors import InputError
from hfspec.runtime.text.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Window:
    """The tokens that the model reads at once. The context's tokens have the places from ``first`` up to, without,
    ``last``; ``offsets`` are their characters in the whole context, ``word_ids`` the word that each belongs to, None
    where the tokenizer knows none. ``null``: the place of the token that stands for no answer.
    """

    inputs: Tokens
    first: int
    last: int
    offsets: tuple[tuple[int, int], ...]
    word_ids: tuple[int | None, ...]
    null: int | None

    def characters(self, start: int, end: int, *, align: bool) -> tuple[int, int]:
        """The place in the context, (start, end), of its tokens ``start`` to ``end``. Both tokens are included and
        counted from the window's first; ``align`` widens them to the parts of their words that the window has.
        """
        if align and self.word_ids[start] is not None and self.word_ids[end] is not None:
            while start > 0 and self.word_ids[start - 1] == self.word_ids[start]:
                start -= 1
            while end + 1 < len(self.word_ids) and self.word_ids[end + 1] == self.word_ids[end]:
                end += 1
        return self.offsets[start][0], self.offsets[end][1]


@dataclass(frozen=True, slots=True)
class Size:
    """The size of windows: one has ``tokens`` at most, and two that follow each other ``share`` so many."""

    tokens: int
    share: int


def windows(
    row: int, inputs: Tokens, encoding: Any, size: Size, *, context: int, null_token: int | None
) -> list[Window]:
    """Cut a row's context into windows.

    Args:
        row: The row's number.
        inputs: The row's tokens uncut, by the model's names.
        encoding: The same tokens as the tokenizer's own object.
        size: The size of windows.
        context: Which of the two texts of the encoding is the context.
        null_token: The token that stands for no answer, None without one.

    Returns:
        The windows, in the order of the context.

    Raises:
        InputError: The context has no tokens, or the question leaves no room for it.
    """
    sides = encoding.sequence_ids
    mine = [place for place, side in enumerate(sides) if side == context]
    if not mine:
        raise InputError("column 'context': no token of the text is one that the model reads.", row=row)
    first, last = mine[0], mine[-1] + 1
    around = len(sides) - (last - first)
    if around >= size.tokens:
        raise InputError(
            f"the question takes {around} tokens and a window has {size.tokens}, which leaves none for the context;"
            " shorten the question, raise max_seq_len, or set max_question_len to have it cut.",
            row=row,
        )
    nulls = [place for place, side in enumerate(sides) if side is None and encoding.ids[place] == null_token]
    parts = []
    for start, stop in spans(last - first, size.tokens - around, size.share):
        lead, tail = first + start, first + stop
        parts.append(
            Window(
                inputs={name: ids[:first] + ids[lead:tail] + ids[last:] for name, ids in inputs.items()},
                first=first,
                last=first + stop - start,
                offsets=tuple(encoding.offsets[lead:tail]),
                word_ids=tuple(encoding.word_ids[lead:tail]),
                null=_moved(nulls, first, last - first - (stop - start)),
            )
        )
    return parts


def spans(length: int, room: int, share: int) -> list[tuple[int, int]]:
    """The parts, (start, end), of ``length`` tokens, each of ``room`` (1 or more) at most; a share that the room has no
    place for is half of it.
    """
    if length <= room:
        return [(0, length)]
    step = room - (share if share < room else room // 2)
    count = 1 + -(-(length - room) // step)
    return [(number * step, min(number * step + room, length)) for number in range(count)]


def _moved(nulls: Sequence[int], first: int, left_out: int) -> int | None:
    """The place, in a window that lacks ``left_out`` tokens of the context, of the first of ``nulls``."""
    if not nulls:
        return None
    return nulls[0] if nulls[0] < first else nulls[0] - left_out
