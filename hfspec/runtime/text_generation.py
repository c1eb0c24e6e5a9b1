"""Continuations of prompts by decoder-only models."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.errors import InputError
from hfspec.runtime import generation, parts
from hfspec.runtime.batching import Item
from hfspec.runtime.family import Family, Place, Row
from hfspec.runtime.prompt import filled
from hfspec.runtime.settings import Settings
from hfspec.runtime.tokens import Tokens, encode


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt ready to be continued. ``text`` is what the model reads, the template included; ``shown`` how many of
    ``ids`` are the prompt's own (an empty prompt begins from a token that is not); ``room`` how many may follow.
    """

    text: str
    ids: list[int]
    shown: int
    room: int


@dataclass(frozen=True, slots=True)
class Continuation:
    """One answer. ``stopped``: the model ended it, rather than the limit."""

    prompt: Prompt
    text: str
    tokens: int
    stopped: bool


class TextGeneration(Family):
    """Equal to what the library's text-generation pipeline answers for one prompt alone, but for its defaults: what
    neither the checkpoint nor the spec says is not sampled.
    """

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.words = parts.tokenizer(place)
        self.model = parts.model(place, parts.library_class(place.manifest.deployment.model_class))
        self.base = generation.taken_from(self.model)
        self.device = place.device
        self.template = place.manifest.deployment.prompt_template
        self.limit = parts.longest(self.model, self.words)
        self.prefix = getattr(self.model.config, "prefix", None) or ""
        takes = inspect.signature(self.model.forward).parameters
        self.pads = "attention_mask" in takes and "position_ids" in takes

    def own_settings(self) -> dict[str, Any]:
        return generation.own(self.base)

    def check(self, settings: Settings) -> None:
        generation.check(self.base, settings)

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Prompt]]:
        texts = [filled(self.template, row.values["prompt"]) for row in rows]
        special = settings.get("add_special_tokens")
        options = {} if special is None else {"add_special_tokens": special}
        tokens = encode(self.words, [self.prefix + text for text in texts], **options)
        prompts = [self._prompt(row, text, mine, settings) for row, text, mine in zip(rows, texts, tokens, strict=True)]
        return [self._item(row, prompt, settings) for row, prompt in zip(rows, prompts, strict=True)]

    def _prompt(self, row: Row, text: str, tokens: Tokens, settings: Settings) -> Prompt:
        ids = list(tokens["input_ids"])
        new, total = generation.room_wanted(settings)
        room = new if total is None else total - len(ids)
        assert room is not None
        if generation.is_default_room(settings) and total is None:
            room = min(room, max(1, self.limit - len(ids)))
        if total is not None and room < 1:
            raise InputError(
                f"the prompt has {len(ids)} tokens and max_length is {total}, which leaves no room for an answer;"
                " shorten the prompt, or set max_new_tokens instead.",
                row=row.number,
            )
        if len(ids) + room > self.limit:
            ids = self._cut(row, ids, room, settings)
        if not ids:
            return Prompt(text, [self._first_token(row)], 0, room)
        return Prompt(text, ids, len(ids), room)

    def _cut(self, row: Row, ids: list[int], room: int, settings: Settings) -> list[int]:
        """The prompt short enough, where a setting allows to cut it; raises InputError where none does."""
        kept = self.limit - room
        hole = settings.get("handle_long_generation") == "hole"
        if kept < 1 or not (hole or settings.get("truncation")):
            remedy = (
                f"ask for at most {self.limit - 1} new tokens."
                if kept < 1
                else "shorten the prompt, lower max_new_tokens, or set truncation: true to have the prompt cut."
            )
            raise InputError(
                f"the prompt has {len(ids)} tokens and {room} more are asked for, but the model reads at most"
                f" {self.limit}; {remedy}",
                row=row.number,
            )
        return ids[-kept:] if hole or self.words.truncation_side == "left" else ids[:kept]

    def _first_token(self, row: Row) -> int:
        """What an empty prompt begins from; raises InputError when the model has no such token."""
        for owner in (self.base, self.model.config, self.words):
            found = getattr(owner, "bos_token_id", None)
            if isinstance(found, int):
                return found
        raise InputError("the prompt is empty and the model has no token to begin a text with.", row=row.number)

    def _item(self, row: Row, prompt: Prompt, settings: Settings) -> Item[Prompt]:
        """Rows that share a batch make the same number of tokens; sampled rows share none, so that each draws from its
        own seed; where padding would be seen, only prompts of one length do.
        """
        width = max(int(settings.get("num_beams") or 1), generation.answers_per_prompt(settings))
        alone = generation.samples(settings) or settings.get("max_time") is not None
        even = not self.pads or generation.reads_prompt(settings)
        group = (prompt.room, len(prompt.ids) if even else 0, row.number if alone else 0)
        return Item(row.number, (len(prompt.ids) + prompt.room) * width, prompt, group)

    def run(self, batch: Sequence[Item[Prompt]], settings: Settings) -> list[tuple[Continuation, ...]]:
        import torch

        pad = self._pad(settings)
        config = generation.config_for(self.base, settings, batch[0].content.room, pad)
        rows = [{"input_ids": item.content.ids, "attention_mask": [1] * len(item.content.ids)} for item in batch]
        inputs = parts.padded(rows, {"input_ids": pad}, "left", self.device)
        tools = {"tokenizer": self.words} if config.stop_strings is not None else {}
        with torch.inference_mode(), generation.seeded(settings.get("seed"), self.device):
            made = self.model.generate(**inputs, generation_config=config, **tools)
        width, count = inputs["input_ids"].shape[1], made.shape[0] // len(batch)
        lines = made[:, width:].cpu().tolist()
        return [
            tuple(self._continuation(item.content, line, config) for line in lines[place * count : (place + 1) * count])
            for place, item in enumerate(batch)
        ]

    def _pad(self, settings: Settings) -> int:
        found = settings.get("pad_token_id", self.words.pad_token_id)
        ends = generation.end_tokens(settings.get("eos_token_id", self.base.eos_token_id))
        return int(found) if found is not None else min(ends, default=0)

    def _continuation(self, prompt: Prompt, line: list[int], config: Any) -> Continuation:
        kept, ended = generation.answer_tokens(line, config)
        if ended and generation.has_stop_text(self.words.decode(kept[:-1], skip_special_tokens=True), config):
            kept = kept[:-1]  # it ended before: where the model pads with its end token, this one is padding
        text = self.words.decode(kept, skip_special_tokens=True)
        stopped = ended or generation.has_stop_text(text, config)
        return Continuation(prompt, text, len(kept), stopped)

    def _answer(self, made: Continuation, settings: Settings) -> str:
        asked = settings.get("include_prompt")
        whole = settings.get("return_full_text")
        if whole is None:
            whole = asked is True or self.template is None
        text = made.text.lstrip("\r\n") if asked is False else made.text
        if whole and asked is not False:
            text = made.prompt.text + text
        return " ".join(text.split()) if settings.get("collapse_whitespace") else text

    def standard(self, results: Sequence[tuple[Continuation, ...]], settings: Settings) -> list[str]:
        return [self._answer(made, settings) for several in results for made in several]

    def full(self, results: Sequence[tuple[Continuation, ...]], settings: Settings) -> list[dict[str, Any]]:
        return [
            {
                "text": self._answer(made, settings),
                "prompt": made.prompt.text,
                "prompt_tokens": made.prompt.shown,
                "completion_tokens": made.tokens,
                "finish_reason": "stop" if made.stopped else "length",
            }
            for several in results
            for made in several
        ]
