"""Vocabularies of sentence pieces, written by hand: the Unigram trainer's order differs between processes.

The same pieces make a Unigram tokenizer.json, a byte-pair one, and the sentencepiece files of slow tokenizers.
"""

from __future__ import annotations

import json
import string
from pathlib import Path

from tests.checkpoints.vocabulary import SUFFIXES, WORDS

UNDERLINE = "▁"
CAPITALISED = ["The", "Hello", "Paris", "London", "I", "A", "Translate", "English", "French", "German", "to"]
CHARACTERS = [*string.ascii_letters, *string.digits, *string.punctuation, "é", "è", "à", "ü", "ß"]


def pieces() -> list[tuple[str, float]]:
    """Every piece once, with its score: whole words are likelier than their letters."""
    words = [UNDERLINE + word for word in [*WORDS, *CAPITALISED, "translate", "summarize"]]
    scored = [(UNDERLINE, -3.0), *((word, -2.0 - 0.01 * place) for place, word in enumerate(words))]
    scored += [(suffix, -4.0 - 0.01 * place) for place, suffix in enumerate(SUFFIXES)]
    scored += [(character, -6.0 - 0.01 * place) for place, character in enumerate(CHARACTERS)]
    return list(dict(scored).items())


def unigram(special: list[str], last: list[str] = ()) -> list[tuple[str, float]]:
    """A Unigram vocabulary: special tokens, pieces, and tokens at the end."""
    return [*((token, 0.0) for token in special), *pieces(), *((token, 0.0) for token in last)]


def bpe(special: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A byte-pair vocabulary of the same pieces, and the merges that lead to them, left to right."""
    vocabulary = dict.fromkeys([*special, *(piece for piece, _ in pieces())])
    merges = {}
    for piece, _ in pieces():
        for end in range(2, len(piece) + 1):
            vocabulary[piece[:end]] = None
            merges[piece[: end - 1], piece[end - 1]] = None
    return {token: number for number, token in enumerate(vocabulary)}, list(merges)


def write_model(path: Path, *, user_defined: list[str] = ()) -> None:
    """A sentencepiece model file of the pieces, as protocol buffers write it
    (https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto).
    """
    from sentencepiece import sentencepiece_model_pb2 as protocol

    model = protocol.ModelProto()
    kinds = protocol.ModelProto.SentencePiece
    special = [("<unk>", kinds.UNKNOWN), ("<s>", kinds.CONTROL), ("</s>", kinds.CONTROL)]
    special += [(token, kinds.USER_DEFINED) for token in user_defined]
    for token, kind in special:
        model.pieces.add(piece=token, score=0.0, type=kind)
    for piece, score in pieces():
        model.pieces.add(piece=piece, score=score)
    model.trainer_spec.model_type = protocol.TrainerSpec.UNIGRAM
    model.trainer_spec.vocab_size = len(model.pieces)
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = True
    model.normalizer_spec.remove_extra_whitespaces = True
    model.normalizer_spec.escape_whitespaces = True
    path.write_bytes(model.SerializeToString(deterministic=True))


def write_vocabulary(path: Path, first: list[str], last: list[str] = ()) -> dict[str, int]:
    """``vocab.json``: token -> id."""
    tokens = [*first, *(piece for piece, _ in pieces()), *last]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    path.write_text(json.dumps(vocabulary, ensure_ascii=False, indent=1), encoding="utf-8")
    return vocabulary
