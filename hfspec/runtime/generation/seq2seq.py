"""Answers of encoder-decoder models: summaries, and whatever else they make of one text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.errors import InputError, ParamsError
from hfspec.formats.languages import Direction
from hfspec.inputs.row import Row
from hfspec.ir.artifact import FULL
from hfspec.runtime.generation import decoding, encoding
from hfspec.runtime.generation import drawing as draws
from hfspec.runtime.generation.answer_tokens import answer_tokens, has_stop_text
from hfspec.runtime.io.token_texts import text_of
from hfspec.runtime.loading import adapter
from hfspec.runtime.loading.model import find_model_class, load_model
from hfspec.runtime.loading.positions import cut_length, most_tokens, positions
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.loading.tokenizer import load_tokenizer
from hfspec.runtime.patches import four_tokens
from hfspec.runtime.patches.states import Patched, States, together
from hfspec.runtime.runner import Runner
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.text.token_batch import pad_id, padded
from hfspec.runtime.text.tokens import Tokens, encode, refuse_overlong
from hfspec.settings import generation
from hfspec.settings.precedence import Settings

# Settings that read the encoder's tokens, and would see padding among them; each with the value that does nothing.
READS_SOURCE = {"encoder_repetition_penalty": 1.0, "encoder_no_repeat_ngram_size": 0}


@dataclass(frozen=True, slots=True)
class Source:
    """A text ready for the encoder. ``text`` is what the model reads, prefix and template included."""

    text: str
    ids: list[int]
    direction: Direction
    languages: tuple[str | None, str | None] = (None, None)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. ``stopped``: the model ended it, rather than the limit."""

    source: Source
    text: str
    tokens: int
    stopped: bool


class Seq2Seq(Runner):
    """A runner that answers as the summarization and text2text-generation pipelines of transformers 4.57 did for one
    text alone. The checkpoint's task_specific_params lie over its generation config. Where those pipelines let their
    own defaults (256 new tokens, 4 beams) win over the checkpoint's, against their documentation, the checkpoint wins
    here.
    """

    cpu_tokens = 4096  # most steps compute one token a row, whatever the row's length

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        self.tokenizer = load_tokenizer(request)
        model, patches = self.load(request)
        self.model, self.base = generation.apart(model)
        self.turn = adapter.turn(model)
        self.device = request.device
        with self.turn:
            self.decoder, decoding = self.find_decoder(request)
        self.loaded = Loaded(model=model, tokenizer=self.tokenizer, patches=together(patches, decoding))
        self.limit = cut_length(self.model.get_encoder(), self.tokenizer)
        self.most = most_tokens(request, self.model.get_encoder())
        self.specific = task_params(self.model.config, request.manifest.deployment.task_as_written)
        self.prefix = self.specific.get("prefix", getattr(self.model.config, "prefix", None)) or ""
        self.pad = pad_id(self.model, self.tokenizer)

    def load(self, request: LoadRequest) -> Patched:
        """The model, and the states of the patches tried on it."""
        return load_model(request, find_model_class(request))

    def find_decoder(self, request: LoadRequest) -> tuple[decoding.Decoder, States]:
        """The decoder of the model's batches, and the states of the patches that make it."""
        return four_tokens.decoder(request, self.model, self.base)

    def own_settings(self) -> dict[str, Any]:
        specific = {name: value for name, value in self.specific.items() if name in generation.NAMES}
        return {**generation.own(self.base), **specific}

    def check(self, settings: Settings) -> None:
        generation.check(self.base, settings)
        room, most = self._room_wanted(settings), self._answer_limit()
        takes_what_fits = generation.is_default_room(settings) and generation.room_wanted(settings)[1] is None
        if room > most and not takes_what_fits:
            raise ParamsError(f"{room} new tokens are asked for, but the decoder has room for {most}; ask for fewer.")

    def _room_wanted(self, settings: Settings) -> int:
        new, total = generation.room_wanted(settings)
        if total is not None:
            return max(1, total - 1)  # max_length counts the token that an answer starts from
        return int(new or 1)

    def _room(self, settings: Settings) -> int:
        return min(self._room_wanted(settings), self._answer_limit())

    def _answer_limit(self) -> int:
        """How many tokens the decoder can make, the one it starts from apart."""
        return positions(self.model.get_decoder()) - 1

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Source]]:
        texts = [self.prefix + self.prompt_text(row) for row in rows]
        tokens = self._encode(rows, texts, settings)
        sources = [Source(text, mine["input_ids"], Direction()) for text, mine in zip(texts, tokens, strict=True)]
        return [self._item(row, source, settings) for row, source in zip(rows, sources, strict=True)]

    def _encode(self, rows: Sequence[Row], texts: Sequence[str], settings: Settings) -> list[Tokens]:
        """The tokens of each text; raises InputError for one that is too long, or has none."""
        cut: dict[str, Any] = {"truncation": True, "max_length": self.limit} if settings.get("truncation") else {}
        tokens = encode(self.tokenizer, texts, **cut)
        if not cut:
            refuse_overlong(rows, tokens, self.most)
        for row, mine in zip(rows, tokens, strict=True):
            if not mine["input_ids"]:
                raise InputError("the text has no tokens, so there is nothing to answer.", row=row.number)
        return tokens

    def _item(self, row: Row, source: Source, settings: Settings) -> Item[Source]:
        """The item of a row. Texts that are sampled with beams or stop strings, or timed, share no batch; where a
        setting sees padding, only texts of one length do.
        """
        width = max(int(settings.get("num_beams") or 1), generation.answers_per_prompt(settings))
        draws = generation.samples(settings) and not self.decoder.decodes(settings)
        alone = draws or settings.get("max_time") is not None
        even = any(settings.get(name) not in (None, neutral) for name, neutral in READS_SOURCE.items())
        group = (source.direction.target, len(source.ids) if even else 0, row.number if alone else -1)
        return Item(row.number, (len(source.ids) + self._room(settings)) * width, source, group)

    def run(self, batch: Sequence[Item[Source]], settings: Settings) -> list[tuple[Answer, ...]]:
        import torch

        config = self._config(settings, batch[0].content.direction)
        rows = [{"input_ids": item.content.ids, "attention_mask": [1] * len(item.content.ids)} for item in batch]
        inputs = padded(rows, {"input_ids": self.pad}, "right", self.device)
        tools: dict[str, Any] = {"tokenizer": self.tokenizer} if config.stop_strings is not None else {}
        tools |= self.decoder.options(settings, [settings.get("seed")] * len(batch), self.device)
        tools = decoding.checked(tools, len(batch))
        drawing = draws.drawing(settings, self.device, own="custom_generate" in tools)
        with torch.inference_mode(), self.turn, drawing:
            tools |= encoding.encoded(self.model, inputs, self.device)
            output = self.model.generate(**inputs, generation_config=config, **tools)
        lines, count = output[:, 1:].cpu().tolist(), output.shape[0] // len(batch)
        return [
            tuple(self._answer(item.content, line, config, settings) for line in lines[at * count : (at + 1) * count])
            for at, item in enumerate(batch)
        ]

    def _config(self, settings: Settings, direction: Direction) -> Any:
        config = generation.config_for(self.base, settings, self._room(settings), self.pad)
        if direction.target is not None:
            config.forced_bos_token_id = direction.target
        return config

    def _answer(self, source: Source, line: list[int], config: Any, settings: Settings) -> Answer:
        ids, ended = answer_tokens(line, config)
        clean = bool(settings.get("clean_up_tokenization_spaces"))
        text = text_of(self.tokenizer, ids, skip_special_tokens=True, clean_up_tokenization_spaces=clean)
        forced = config.forced_eos_token_id is not None and len(ids) >= config.max_new_tokens
        stopped = (ended and not forced) or has_stop_text(self.tokenizer, ids, config)
        return Answer(source, text, len(ids), stopped)

    def standard(self, results: Sequence[tuple[Answer, ...]], settings: Settings) -> list[str]:
        return [answer.text for several in results for answer in several]

    def full(self, results: Sequence[tuple[Answer, ...]], settings: Settings) -> list[dict[str, Any]]:
        return [self._account(answer) for several in results for answer in several]

    def answer(self, result: tuple[Answer, ...], settings: Settings, form: str) -> Any:
        """A list of answers where a text gets several."""
        several = generation.answers_per_prompt(settings) > 1
        answers = self.full([result], settings) if form == FULL else self.standard([result], settings)
        return answers if several else answers[0]

    def _account(self, answer: Answer) -> dict[str, Any]:
        return {
            "text": answer.text,
            "prompt": answer.source.text,
            "prompt_tokens": len(answer.source.ids),
            "completion_tokens": answer.tokens,
            "finish_reason": "stop" if answer.stopped else "length",
        }


def task_params(config: Any, task: str) -> Mapping[str, Any]:
    """The checkpoint's own params for this task: generation settings and the prefix of each text."""
    specific = getattr(config, "task_specific_params", None) or {}
    params = specific.get(task) or {}
    return dict(params)
