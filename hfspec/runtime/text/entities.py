"""The entities of a text from the probabilities of its tokens, by the strategies of the transformers pipeline.

https://huggingface.co/docs/transformers/main_classes/pipelines#transformers.TokenClassificationPipeline
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Names = Mapping[int, str]
Spell = Callable[[list[str]], str]


@dataclass(frozen=True, slots=True)
class Piece:
    """A token of a text. ``scores``: probabilities (labels,), a numpy array. ``start`` and ``end``: its place in the
    text in characters, None where the tokenizer does not say. ``continues``: it goes on with the word of the piece
    before.
    """

    word: str
    scores: Any
    start: int | None
    end: int | None
    index: int
    continues: bool


@dataclass(frozen=True, slots=True)
class Entity:
    """A token, a word or a run of them under one label. ``index``: a token's place, None for anything longer."""

    label: str
    score: float
    word: str
    start: int | None
    end: int | None
    index: int | None = None


def entities(pieces: Sequence[Piece], strategy: str, names: Names, spell: Spell) -> list[Entity]:
    """The entities in the tokens of one window, in order. ``spell`` makes text of tokens."""
    if strategy in {"none", "simple"}:
        parts = [_of_token(piece, names) for piece in pieces]
    else:
        parts = [_of_word(word, strategy, names, spell) for word in _words(pieces)]
    return parts if strategy == "none" else [_joined(run, spell) for run in _runs(parts)]


def without_overlap(shared: Sequence[Entity]) -> list[Entity]:
    """The entities in the text's order; where those of several windows overlap, the longest, then the surest, stays."""
    longest: list[Entity] = []
    for entity in sorted(shared, key=_start):
        if not longest or not _start(longest[-1]) <= _start(entity) < _end(longest[-1]):
            longest.append(entity)
        elif (_length(entity), entity.score) > (_length(longest[-1]), longest[-1].score):
            longest[-1] = entity
    return longest


def _start(entity: Entity) -> int:
    return entity.start or 0


def _end(entity: Entity) -> int:
    return entity.end or 0


def _length(entity: Entity) -> int:
    return _end(entity) - _start(entity)


def _of_token(piece: Piece, names: Names) -> Entity:
    best = int(piece.scores.argmax())
    return Entity(names[best], float(piece.scores[best]), piece.word, piece.start, piece.end, piece.index)


def _words(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    word: list[Piece] = []
    for piece in pieces:
        if word and not piece.continues:
            yield word
            word = []
        word.append(piece)
    if word:
        yield word


def _of_word(word: Sequence[Piece], strategy: str, names: Names, spell: Spell) -> Entity:
    scores = _word_scores(word, strategy)
    best = int(scores.argmax())
    text = spell([piece.word for piece in word])
    return Entity(names[best], float(scores[best]), text, word[0].start, word[-1].end)


def _word_scores(word: Sequence[Piece], strategy: str) -> Any:
    if strategy == "first":
        return word[0].scores
    if strategy == "max":
        return max(word, key=lambda piece: piece.scores.max()).scores
    return sum(piece.scores for piece in word) / len(word)


def _runs(parts: Sequence[Entity]) -> Iterator[list[Entity]]:
    """The runs of neighbours with one label; a B- begins a new run, a label without B- or I- goes on like an I-."""
    run: list[Entity] = []
    for entity in parts:
        if run and (entity.label.startswith("B-") or _tag(entity) != _tag(run[-1])):
            yield run
            run = []
        run.append(entity)
    if run:
        yield run


def _tag(entity: Entity) -> str:
    return entity.label[2:] if entity.label.startswith(("B-", "I-")) else entity.label


def _joined(run: Sequence[Entity], spell: Spell) -> Entity:
    score = sum(entity.score for entity in run) / len(run)
    label = run[0].label.split("-", 1)[-1]  # transformers takes off whatever stands before the dash, too
    return Entity(label, score, spell([entity.word for entity in run]), run[0].start, run[-1].end)
