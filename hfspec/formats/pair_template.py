"""Pairs of texts through a tokenizer's chat template, as sentence-transformers 6 puts them to a cross-encoder.

A pair is two messages with the roles query and document; a prompt is a system message before them. A template that
renders neither role, or fails over them, cannot carry a pair (sentence_transformers.base.modality, InputFormatter).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hfspec.errors import InputError

# sentence-transformers tells by these whether a template takes the parts of a content, or its text.
FLAT_MODELS = frozenset({"apertus", "deepseek_v3", "gpt_oss", "seed_oss"})
PARTS_SIGNS = ("content[0]", ".type", "'type'", '"type"', "item.type", "message.content[")
PROBES = (("alpha", "bravo"), ("charlie", "bravo"), ("alpha", "foxtrot"))
ROLES = ("query", "document")
FILLERS = ("0", "1 2 3 4")  # two texts with no token in common


def cannot_carry(fault: str) -> str:
    """Say that pairs cannot be put through a chat template, and why."""
    return (
        f"the tokenizer's chat template cannot carry a query and a document ({fault}), and sentence-transformers puts"
        " pairs through it"
    )


class PairTemplate:
    """``tokenizer``: one with a chat template. ``model_type``: that of the model's config. ``modalities``: what the
    checkpoint states of its inputs (``modality_config``), None where it states nothing.
    """

    def __init__(self, tokenizer: Any, model_type: str, modalities: Mapping[str, Any] | None = None) -> None:
        self.tokenizer = tokenizer
        form = ((modalities or {}).get("message") or {}).get("format", "auto")
        self.is_flat = _is_flat(tokenizer, model_type) if form == "auto" else form == "flat"
        self._suffixes: dict[str, list[int]] = {}

    @staticmethod
    def applies(tokenizer: Any, modalities: Mapping[str, Any] | None) -> bool:
        """Whether pairs go through the template: always where there is one, unless the checkpoint says otherwise."""
        if modalities is not None:
            return "message" in modalities
        return getattr(tokenizer, "chat_template", None) is not None

    def fault(self) -> str:
        """Why the template cannot carry a pair; empty when it can. Seen by what it renders, not by its source."""
        if getattr(self.tokenizer, "chat_template", None) is None:
            return "there is no chat template"
        try:
            base, *varied = [self._text(query, document, "") for query, document in PROBES]
        except InputError as error:
            return str(error)
        lost = [role for role, text in zip(ROLES, varied, strict=True) if text == base]
        return f"it leaves out the {' and the '.join(lost)}" if lost else ""

    def encode(
        self, pairs: Sequence[tuple[str, str]], prompt: str, limit: int
    ) -> list[tuple[dict[str, list[int]], bool]]:
        """The tokens of each pair, at most ``limit``, and whether it was cut. What the template writes after the texts
        stays at the end of a pair that was cut. Raises InputError when the template fails.
        """
        try:
            texts = [self._text(query, document, prompt) for query, document in pairs]
        except InputError as error:
            beside = " and a prompt, which is a system message before them" if prompt else ""
            raise InputError(
                f"the tokenizer's chat template cannot carry a query and a document{beside}: {error}."
            ) from error
        items = []
        for text in texts:
            whole = len(self._ids(text))
            encoding = self.tokenizer(
                text, add_special_tokens=False, truncation="longest_first", max_length=limit, verbose=False
            )
            tokens = {name: list(encoding[name]) for name in encoding}
            if len(tokens["input_ids"]) >= limit and (suffix := self._suffix(prompt)[-limit:]):
                tokens["input_ids"][-len(suffix) :] = suffix
            items.append((tokens, whole > limit))
        return items

    def _suffix(self, prompt: str) -> list[int]:
        """The tokens at the end of the template that do not depend on the texts."""
        if prompt not in self._suffixes:
            first, second = (self._ids(self._text(filler, filler, prompt)) for filler in FILLERS)
            count = 0
            while count < min(len(first), len(second)) and first[-1 - count] == second[-1 - count]:
                count += 1
            is_tail = 0 < count < min(len(first), len(second))
            self._suffixes[prompt] = first[len(first) - count :] if is_tail else []
        return self._suffixes[prompt]

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"])

    def _text(self, query: str, document: str, prompt: str) -> str:
        system = [("system", prompt)] if prompt else []
        messages = [
            {"role": role, "content": text if self.is_flat else [{"type": "text", "text": text}]}
            for role, text in [*system, *zip(ROLES, (query, document), strict=True)]
        ]
        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False))
        except Exception as error:  # a template is a program of the checkpoint's own, and may fail in any way
            raise InputError(f"it fails with {type(error).__name__}: {error}") from error


def _is_flat(tokenizer: Any, model_type: str) -> bool:
    if model_type in FLAT_MODELS:
        return True
    template = tokenizer.chat_template
    return isinstance(template, str) and bool(template) and not any(sign in template for sign in PARTS_SIGNS)
