"""Answers from the logits of a window: the procedure of SQuAD, as the transformers pipeline had it up to 4.57.

https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/pipelines/question_answering.py
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.runtime.questions.context_windows import Window


@dataclass(frozen=True, slots=True)
class Answer:
    """A part of the context, its place there in characters, and the probability the model gives it."""

    text: str
    start: int
    end: int
    score: float

    def record(self) -> dict[str, Any]:
        return {"answer": self.text, "score": self.score, "start": self.start, "end": self.end}


@dataclass(frozen=True, slots=True)
class Found:
    """A window's result: its likeliest answers, best first, and the probability that it has none."""

    answers: tuple[Answer, ...]
    null: float


def found(context: str, window: Window, logits: tuple[Any, Any], count: int, longest: int, *, align: bool) -> Found:
    """The ``count`` likeliest answers of a window with at most ``longest`` tokens; ``logits``: two numpy arrays, of an
    answer's start and of its end, each with a number for every token of the window.
    """
    starts, ends = (_probabilities(side, window) for side in logits)
    null = float(starts[-1] * ends[-1]) if window.null is not None else 0.0
    size = window.last - window.first
    answers: list[Answer] = []
    for score, start, end in _best_first(starts[:size], ends[:size], longest):
        lead, tail = window.characters(start, end, align=align)
        if lead < tail:  # a token of white space has no characters in the offsets of some tokenizers
            answers.append(Answer(context[lead:tail], lead, tail, score))
        if len(answers) == count:
            break
    return Found(tuple(answers), null)


def joined(parts: Sequence[Found], count: int, *, may_be_none: bool) -> tuple[Answer, ...]:
    """The ``count`` best answers of all windows. Answers of one text, upper and lower case alike, are one, at the place
    of the first, with their scores added up; the empty answer is as likely as in the window that finds it unlikeliest.
    Without any text to answer with, the empty answer has the score 0.
    """
    answer_of: dict[str, Answer] = {}
    for answer in (answer for part in parts for answer in part.answers):
        first = answer_of.setdefault(answer.text.lower(), answer)
        if first is not answer:
            total = first.score + answer.score
            answer_of[answer.text.lower()] = Answer(first.text, first.start, first.end, total)
    answers = list(answer_of.values())
    if may_be_none or not answers:
        answers.append(Answer("", 0, 0, min(part.null for part in parts) if may_be_none else 0.0))
    return tuple(sorted(answers, key=lambda answer: -answer.score)[:count])


def _probabilities(logits: Any, window: Window) -> Any:
    """Softmax over the tokens of the context and, last, the one for no answer."""
    import numpy as np

    numbers = logits[window.first : window.last]
    if window.null is not None:
        numbers = np.append(numbers, logits[window.null])
    raised = np.exp(numbers - numbers.max())
    return raised / raised.sum()


def _best_first(starts: Any, ends: Any, longest: int) -> Iterator[tuple[float, int, int]]:
    """(score, start, end) of each span, likeliest first; a span's score is that of its start times that of its end."""
    import numpy as np

    size, width = len(starts), min(longest, len(starts))
    padded = np.append(ends, np.full(width - 1, -1, dtype=ends.dtype))  # beyond the window: below every score
    scores = (starts[:, None] * np.lib.stride_tricks.sliding_window_view(padded, width)).ravel()
    inside = np.add.outer(np.arange(size), np.arange(width)).ravel() < size
    for place in np.argsort(np.where(inside, -scores, 1), kind="stable")[: int(inside.sum())].tolist():
        yield float(scores[place]), place // width, place // width + place % width
