"""The languages of a checkpoint, and what a translation's two languages mean to it.

In a checkpoint, the tokenizer has a token for each language (NLLB, M2M100, mBART), or the config has
a prefix for each pair of languages (T5's task_specific_params), or there is one pair only, or the user writes the
language into the text (Marian's ``>>fra<<``).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

NAMES = ("src_lang", "tgt_lang")
CODE = re.compile(r"[a-z]{2,3}_[A-Z][A-Za-z]{1,3}")
PAIR = re.compile(r"translation_(.+)_to_(.+)")


class LanguageError(ValueError):
    """A language that the checkpoint does not know, or needs and was not given; the message says which."""


@dataclass(frozen=True, slots=True)
class Direction:
    """From one language into another, as the model is told. ``prefix``: text put before each text. ``source``: what the
    tokenizer's src_lang is set to, None to leave it. ``target``: the token that the answer begins with, None to leave
    that to the checkpoint.
    """

    prefix: str = ""
    source: str | None = None
    target: int | None = None


@dataclass(frozen=True, slots=True)
class Tongues:
    """The languages of a tokenizer. ``codes``: code -> the id of its token, empty for one that is not told the
    language. ``own``: the source and target that its own config states. ``marks``: what a text may begin with to name
    its target.
    """

    codes: Mapping[str, int] = field(default_factory=dict)
    own: tuple[str | None, str | None] = (None, None)
    marks: tuple[str, ...] = ()


class Languages(ABC):
    """The languages of a checkpoint. ``reads_task_name``: whether ``translation_en_to_fr`` tells it anything."""

    reads_task_name = True

    @abstractmethod
    def check(self, source: str | None, target: str | None) -> None:
        """Raises LanguageError for a language that is given and not known."""

    @abstractmethod
    def direction(self, source: str | None, target: str | None, *, started: bool = False) -> Direction:
        """The direction that the two languages come to; raises LanguageError when one is unknown, or missing and
        needed. ``started``: the caller has said by forced_bos_token_id what the answer begins with.
        """


class TokenLanguages(Languages):
    """A token a language. ``own``: the source and target language that the tokenizer's own config states; ``starts``:
    whether the checkpoint says itself what its answers begin with.
    """

    def __init__(self, codes: Mapping[str, int], own: tuple[str | None, str | None], *, starts: bool) -> None:
        self.codes, self.own, self.starts = codes, own, starts

    def check(self, source: str | None, target: str | None) -> None:
        for code in (source, target):
            if code is not None and code not in self.codes:
                raise LanguageError(f"the tokenizer knows no language {code!r}{_nearest(code, tuple(self.codes))}.")

    def direction(self, source: str | None, target: str | None, *, started: bool = False) -> Direction:
        self.check(source, target)
        source, target = source or self.own[0], target or (None if started else self.own[1])
        missing = [
            name for name, value in (("src_lang", source), ("tgt_lang", target or self.starts or started)) if not value
        ]
        if missing:
            raise LanguageError(
                f"this model knows {len(self.codes)} languages, and {' and '.join(missing)} must be said: in"
                " model_config, in params, or in a column of that name, written as the tokenizer does"
                f" ({', '.join(sorted(self.codes)[:3])}, …)."
            )
        return Direction(source=source, target=None if target is None else self.codes[target])


class PairLanguages(Languages):
    """A prefix a pair of languages. ``instructed``: the deployment's prompt template says what to do, so that no pair
    need be named.
    """

    def __init__(self, prefixes: Mapping[tuple[str, str], str], *, instructed: bool) -> None:
        self.prefixes, self.instructed = prefixes, instructed

    def check(self, source: str | None, target: str | None) -> None:
        for place, code in enumerate((source, target)):
            codes = tuple(sorted({pair[place] for pair in self.prefixes}))
            if code is not None and code not in codes:
                raise LanguageError(f"the checkpoint does not translate {WAYS[place]} {code!r}; {self._pairs()}.")

    def direction(self, source: str | None, target: str | None, *, started: bool = False) -> Direction:
        if source is None and target is None and self.instructed:
            return Direction()
        self.check(source, target)
        if source is None or target is None:
            missing = [name for name, code in (("src_lang", source), ("tgt_lang", target)) if code is None]
            raise LanguageError(f"{' and '.join(missing)} must be said; {self._pairs()}.")
        if (source, target) not in self.prefixes:
            raise LanguageError(f"the checkpoint does not translate from {source!r} into {target!r}; {self._pairs()}.")
        return Direction(prefix=self.prefixes[source, target])

    def _pairs(self) -> str:
        pairs = ", ".join(f"{source} to {target}" for source, target in sorted(self.prefixes))
        return (
            f"its config has prefixes for {pairs}; for another pair take the task `translation`, without languages, and"
            " write the instruction into prompt_template"
        )


class OnePair(Languages):
    """Nothing to choose. ``hint``: what a user of a model with several targets can do instead."""

    reads_task_name = False

    def __init__(self, hint: str) -> None:
        self.hint = hint

    def check(self, source: str | None, target: str | None) -> None:
        language = source or target
        if language is not None:
            raise LanguageError(
                f"this checkpoint has no choice of languages, so {language!r} would change nothing{self.hint}."
            )

    def direction(self, source: str | None, target: str | None, *, started: bool = False) -> Direction:
        self.check(source, target)
        return Direction()


WAYS = ("from", "into")


def tongues(tokenizer: Any) -> Tongues:
    """Read the languages of a tokenizer."""
    own = (tokenizer.init_kwargs.get("src_lang"), tokenizer.init_kwargs.get("tgt_lang"))
    return Tongues(_language_tokens(tokenizer), own, tuple(getattr(tokenizer, "supported_language_codes", ())))


def languages_of(
    languages: Tongues, specific: Mapping[str, Any], starts: Sequence[int | None], *, instructed: bool
) -> Languages:
    """The languages of a checkpoint: what its tokenizer says, its config's task_specific_params, the tokens that its
    answers may begin with, and ``instructed`` as PairLanguages has it.
    """
    if languages.codes:
        return TokenLanguages(
            languages.codes, languages.own, starts=any(token in languages.codes.values() for token in starts)
        )
    prefixes = _prefixes(specific)
    if prefixes:
        return PairLanguages(prefixes, instructed=instructed)
    return OnePair(f"; write one of {', '.join(languages.marks[:3])}, … before each text" if languages.marks else "")


def from_task_name(task: str) -> tuple[str | None, str | None]:
    """The languages that ``translation_en_to_fr`` names; of ``translation``, none."""
    match = PAIR.fullmatch(task)
    return (match[1], match[2]) if match else (None, None)


def _language_tokens(tokenizer: Any) -> dict[str, int]:
    """Code -> the id of its token, empty for a tokenizer that is not told the language."""
    if not hasattr(tokenizer, "set_src_lang_special_tokens"):
        return {}
    ids = getattr(tokenizer, "lang_code_to_id", None)
    if ids:
        return dict(ids)
    unknown = tokenizer.unk_token_id
    codes = [token for token in map(str, tokenizer.all_special_tokens) if CODE.fullmatch(token)]
    return {code: index for code in codes if (index := tokenizer.convert_tokens_to_ids(code)) != unknown}


def _prefixes(specific: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    matches = {PAIR.fullmatch(name): params for name, params in specific.items()}
    return {(match[1], match[2]): params.get("prefix", "") for match, params in matches.items() if match}


def _nearest(code: str, codes: Sequence[str]) -> str:
    """Codes for one language differ in their tails: ``fr``, ``fra_Latn``, ``fr_XX``."""
    begin = [name for name in codes if name.lower().startswith(code[:2].lower())]
    close = get_close_matches(code, begin, n=1, cutoff=0) or get_close_matches(code, codes, n=1, cutoff=0.5)
    examples = ", ".join(sorted(codes)[:5])
    return f"; did you mean {close[0]!r}?" if close else f"; it knows {len(codes)}, among them {examples}"
