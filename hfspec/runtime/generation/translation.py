"""Texts in other languages, by encoder-decoder models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfspec.errors import InputError, ParamsError
from hfspec.formats.languages import NAMES, Direction, LanguageError, from_task_name, languages_of, tongues
from hfspec.inputs.row import Row
from hfspec.runtime.generation.seq2seq import Answer, Seq2Seq, Source, task_params
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.text.tokens import Tokens
from hfspec.settings.precedence import CHECKPOINT, Settings

Pair = tuple[str | None, str | None]


class Translation(Seq2Seq):
    """A runner that answers as the translation pipeline of transformers 4.57 did for one text alone. A row's own
    src_lang and tgt_lang go before the settings, those before the task's name, and that before the tokenizer's own.
    """

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        deployment = request.manifest.deployment
        specific = getattr(self.model.config, "task_specific_params", None) or {}
        starts = (self.base.forced_bos_token_id, self.base.decoder_start_token_id)
        self.languages = languages_of(tongues(self.tokenizer), specific, starts, instructed=self.template is not None)
        self.named: Pair = (
            from_task_name(deployment.task_as_written) if self.languages.reads_task_name else (None, None)
        )
        options = {
            **deployment.model_config,
            **{param.name: param.default for param in request.manifest.signature.params},
        }
        source, target = (options.get(name) or mine for name, mine in zip(NAMES, self.named, strict=True))
        if source and target:
            self.specific = task_params(self.model.config, f"translation_{source}_to_{target}")
        self.prefix = getattr(self.model.config, "prefix", None) or ""

    def check(self, settings: Settings) -> None:
        super().check(settings)
        try:
            self.languages.check(*self._pair({}, settings))
        except LanguageError as error:
            raise ParamsError(str(error)) from error

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Source]]:
        pairs = [self._pair(row.values, settings) for row in rows]
        directions = [self._direction(row, pair, settings) for row, pair in zip(rows, pairs, strict=True)]
        texts = [
            (direction.prefix or self.prefix) + self.prompt_text(row)
            for row, direction in zip(rows, directions, strict=True)
        ]
        tokens = self._encode_from(rows, texts, directions, settings)
        return [
            self._item(row, Source(text, mine["input_ids"], direction, pair), settings)
            for row, text, mine, direction, pair in zip(rows, texts, tokens, directions, pairs, strict=True)
        ]

    def _pair(self, values: Any, settings: Settings) -> Pair:
        source, target = (
            values.get(name) or settings.get(name) or mine for name, mine in zip(NAMES, self.named, strict=True)
        )
        return source, target

    def _direction(self, row: Row, pair: Pair, settings: Settings) -> Direction:
        started = settings.origin("forced_bos_token_id") not in {"", CHECKPOINT}
        try:
            return self.languages.direction(*pair, started=started)
        except LanguageError as error:
            raise InputError(str(error), row=row.number) from error

    def _encode_from(
        self, rows: Sequence[Row], texts: Sequence[str], directions: Sequence[Direction], settings: Settings
    ) -> list[Tokens]:
        """The tokens of each text, the tokenizer set to each source language once."""
        tokens: list[Tokens] = [{} for _ in rows]
        for source in dict.fromkeys(direction.source for direction in directions):
            places = [place for place, direction in enumerate(directions) if direction.source == source]
            if source is not None:
                self.tokenizer.src_lang = source
            encoded = self._encode([rows[place] for place in places], [texts[place] for place in places], settings)
            for place, mine in zip(places, encoded, strict=True):
                tokens[place] = mine
        return tokens

    def _account(self, answer: Answer) -> dict[str, Any]:
        return {**super()._account(answer), **dict(zip(NAMES, answer.source.languages, strict=True))}
