"""The likeliest tokens for the masks in a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.errors import InputError, ParamsError, UsageError
from hfspec.inputs.row import Row
from hfspec.runtime.io import finite
from hfspec.runtime.io.token_texts import text_of
from hfspec.runtime.io.transfer import Arriving, sent
from hfspec.runtime.loading.model import find_model_class, load_one_pass_model
from hfspec.runtime.loading.positions import cut_length, most_tokens
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.loading.tokenizer import load_tokenizer
from hfspec.runtime.runner import Runner
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.text.masked_head import MaskedHead
from hfspec.runtime.text.padding import Padding
from hfspec.runtime.text.token_batch import pad_id, padded
from hfspec.runtime.text.tokens import Tokens, encode, refuse_overlong
from hfspec.settings.precedence import Settings


@dataclass(frozen=True, slots=True)
class Masked:
    """A text ready for the model. ``targets``: the token ids to choose among, None for all."""

    tokens: Tokens
    targets: list[int] | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A token for a mask; ``sequence`` is the text with it in the mask's place, other masks left as they are."""

    score: float
    token: int
    text: str
    sequence: str


@dataclass(frozen=True, slots=True)
class Filled:
    """A row's result: for each of its masks the candidates, best first, and how many tokens the row had."""

    masks: tuple[tuple[Candidate, ...], ...]
    tokens: int


class FillMask(Runner):
    """A runner that answers as the transformers fill-mask pipeline does for one row alone, several masks included."""

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        self.tokenizer = load_tokenizer(request)
        if self.tokenizer.mask_token_id is None:
            raise UsageError("the tokenizer has no mask token, which fill-mask needs; use the model's own tokenizer.")
        self.model, patches = load_one_pass_model(request, find_model_class(request))
        self.loaded = Loaded(model=self.model, tokenizer=self.tokenizer, patches=patches)
        self.device = request.device
        self.limit = cut_length(self.model, self.tokenizer)
        self.most = most_tokens(request, self.model)
        self.pad = {"input_ids": pad_id(self.model, self.tokenizer)}
        self.padding = Padding(self.model, self.tokenizer, self.pad, self.limit)
        self.head = MaskedHead(self.model)

    def _targets(self, settings: Settings) -> list[int] | None:
        """The token ids to choose among, None for all; raises ParamsError for a word that is not one token."""
        value = settings.get("targets")
        if value is None:
            return None
        targets = [value] if isinstance(value, str) else list(value)
        if not targets:
            raise ParamsError("targets is empty: name at least one word, or leave it out to choose among all.")
        return sorted({self._target(word) for word in targets})

    def _target(self, word: str) -> int:
        unknown = self.tokenizer.unk_token_id
        number = self.tokenizer.convert_tokens_to_ids(word)
        ids = self.tokenizer(word, add_special_tokens=False)["input_ids"] if number in (None, unknown) else [number]
        if len(ids) == 1 and ids[0] != unknown:
            return int(ids[0])
        pieces = ", ".join(repr(piece) for piece in self.tokenizer.convert_ids_to_tokens(ids)) or "nothing"
        raise ParamsError(
            f"targets: {word!r} is not one token of the model's vocabulary (it is split into {pieces}), and a mask"
            " stands for one token."
        )

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Masked]]:
        targets = self._targets(settings)
        texts = [self.prompt_text(row) for row in rows]
        cut: dict[str, Any] = {"truncation": True, "max_length": self.limit} if settings.get("truncation") else {}
        tokens = encode(self.tokenizer, texts, **cut)
        if not cut:
            refuse_overlong(rows, tokens, self.most)
        for row, text, mine in zip(rows, texts, tokens, strict=True):
            self._require_mask(row, text, mine)
        return [
            Item(row.number, len(mine["input_ids"]), Masked(mine, targets), group)
            for row, mine, group in zip(rows, tokens, self.padding.groups(tokens), strict=True)
        ]

    def _require_mask(self, row: Row, text: str, tokens: Tokens) -> None:
        if self.tokenizer.mask_token_id in tokens["input_ids"]:
            return
        mask = self.tokenizer.mask_token
        if mask in text:
            raise InputError(f"the mask token {mask} is beyond the {self.limit} tokens that are read.", row=row.number)
        raise InputError(f"the text has no mask token; put {mask} where a word is to be filled in.", row=row.number)

    def run(self, batch: Sequence[Item[Masked]], settings: Settings) -> tuple[Arriving, Arriving]:
        """The candidates' scores and, as numbers of tokens or of targets, the candidates, best first: (masks, top_k)
        each, row by row, left to right.
        """
        import torch

        inputs = padded([item.content.tokens for item in batch], self.pad, "right", self.device)
        places = [(row, place) for row, item in enumerate(batch) for place in self._places(item.content)]
        rows, columns = (sent(torch.tensor(side), self.device) for side in zip(*places, strict=True))
        targets = batch[0].content.targets  # the same for all rows of a call
        with torch.inference_mode():
            scores = self.head.logits(inputs, (rows, columns)).float().softmax(-1)
            if targets is not None:
                scores = scores.index_select(1, sent(torch.tensor(targets), str(scores.device)))
            best = scores.topk(min(settings["top_k"], scores.shape[1]))
            return Arriving(best.values), Arriving(best.indices)

    def _places(self, text: Masked) -> list[int]:
        return [place for place, token in enumerate(text.tokens["input_ids"]) if token == self.tokenizer.mask_token_id]

    def read(
        self,
        output: tuple[Arriving, Arriving],
        batch: Sequence[Item[Masked]],
        settings: Settings,
    ) -> list[Filled]:
        with finite.lines([len(self._places(item.content)) for item in batch]):
            best = zip(*(side.here().tolist() for side in output), strict=True)
        return [self._filled(item.content, best) for item in batch]

    def _filled(self, text: Masked, best: Iterator[tuple[list[float], list[int]]]) -> Filled:
        """The text's result; takes its masks' candidates from ``best``, the scores and numbers mask by mask."""
        ids, targets = text.tokens["input_ids"], text.targets
        places = self._places(text)
        masks = []
        for place, (values, numbers) in zip(places, best, strict=False):
            tokens = numbers if targets is None else [targets[index] for index in numbers]
            alone = len(places) == 1
            masks.append(
                tuple(self._candidate(ids, place, pair, alone=alone) for pair in zip(values, tokens, strict=True))
            )
        return Filled(tuple(masks), len(ids))

    def _candidate(self, ids: list[int], place: int, pair: tuple[float, int], *, alone: bool) -> Candidate:
        score, token = pair
        whole = [*ids[:place], token, *ids[place + 1 :]]
        visible = [mine for mine in whole if mine != self.tokenizer.pad_token_id]
        # Among several masks the special tokens stay, or the other masks would vanish from the text.
        sequence = text_of(self.tokenizer, visible, skip_special_tokens=alone)
        return Candidate(score, token, text_of(self.tokenizer, [token]), sequence)

    def standard(self, results: Sequence[Filled], settings: Settings) -> list[str]:
        return [" ".join(_stripped(candidates[0].text) for candidates in row.masks) for row in results]

    def full(self, results: Sequence[Filled], settings: Settings) -> list[dict[str, Any]]:
        return [
            {"masks": [[_as_dict(candidate) for candidate in mask] for mask in row.masks], "tokens": row.tokens}
            for row in results
        ]


def _stripped(text: str) -> str:
    """The text without the space that begins a byte-level vocabulary's words; a token of white space alone stays."""
    return text.strip() or text


def _as_dict(candidate: Candidate) -> dict[str, Any]:
    """The candidate with the keys of the transformers pipeline."""
    return {
        "score": candidate.score,
        "token": candidate.token,
        "token_str": candidate.text,
        "sequence": candidate.sequence,
    }
