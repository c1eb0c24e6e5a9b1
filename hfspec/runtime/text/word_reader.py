"""Where the words of a text begin among its tokens."""

from __future__ import annotations

from typing import Any


def knows_words(backend: Any) -> bool:
    """Whether a tokenizer parts a text into words before it makes tokens of them. One without a pre-tokenizer, or with
    one that splits nothing at a space, gives all tokens of a text the same word.
    """
    if backend.pre_tokenizer is None:
        return False
    text = "aa bb" if backend.normalizer is None else backend.normalizer.normalize_str("aa bb")
    pieces = [piece.lower() for piece, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
    return any("aa" in piece and "b" not in piece for piece in pieces) and any("bb" in piece for piece in pieces)


class WordReader:
    """Reads a text's tokens in order and says which of them go on with the word before.

    A word is the tokenizer's, and never goes over white space. Where the tokenizer does not say, white space parts the
    words. White space is that of Unicode: line breaks, tabs, no-break and ideographic spaces too.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._end = 0
        self._word_id: int | None = None
        self._is_empty = True

    def continues(self, start: int, end: int, word_id: int | None) -> bool:
        """``start`` and ``end``: the token's place in the text in characters; ``word_id``: its word, None where the
        tokenizer does not say.
        """
        content = self._text[start:end]
        # A character of several bytes can have a token for each byte, all of them at that character's place.
        is_same_character = start < self._end
        if word_id is None:
            goes_on = is_same_character or (start > 0 and not _has_space(self._text[start - 1 : start + 1]))
        else:
            goes_on = word_id == self._word_id and (is_same_character or not self._is_parted(start, content))
        self._is_empty = not content.strip() and (self._is_empty or not goes_on)
        self._end, self._word_id = max(end, self._end), word_id
        return goes_on

    def _is_parted(self, start: int, content: str) -> bool:
        """Whether white space lies between a token and what its word holds already."""
        if self._is_empty or not content.strip():
            return False
        first = start + len(content) - len(content.lstrip())
        return _has_space(self._text[max(first - 1, 0) : first])


def _has_space(text: str) -> bool:
    return any(character.isspace() for character in text)
