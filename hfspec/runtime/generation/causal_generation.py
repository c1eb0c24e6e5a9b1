"""Continuations of prompts by decoder-only models: the core of every task over them."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hfspec.errors import InputError
from hfspec.formats.generation_config import reads_tokens
from hfspec.ir.artifact import FULL
from hfspec.runtime.chat.chat_template import ChatTemplate
from hfspec.runtime.generation import decoding, penalties, stop_text
from hfspec.runtime.generation import drawing as draws
from hfspec.runtime.generation.answer_tokens import answer_tokens, end_tokens, has_stop_text
from hfspec.runtime.io.token_texts import text_of
from hfspec.runtime.loading import adapter
from hfspec.runtime.loading.model import find_model_class, load_model
from hfspec.runtime.loading.positions import cut_length, most_tokens
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.loading.tokenizer import load_tokenizer
from hfspec.runtime.patches import four_tokens
from hfspec.runtime.patches.states import together
from hfspec.runtime.runner import Runner
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.text.token_batch import padded
from hfspec.settings import generation
from hfspec.settings.precedence import Settings


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt ready to be continued. ``text`` is what the model reads, the template included; ``shown`` how many of
    ``ids`` are the prompt's own (an empty prompt begins from a token that is not); ``room`` how many may follow;
    ``chat``: whether a conversation made it.
    """

    text: str
    ids: list[int]
    shown: int
    room: int
    chat: bool = False


@dataclass(frozen=True, slots=True)
class Continuation:
    """One answer. ``tokens``: how many the model made, the one that ended it included. ``stopped``: the model ended it,
    or a stop text did, rather than the limit.
    """

    prompt: Prompt
    text: str
    tokens: int
    stopped: bool

    @property
    def finish_reason(self) -> str:
        """The reason in the words of the OpenAI API."""
        return "stop" if self.stopped else "length"


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt to be continued, ``answers`` times, in a batch that others join. ``key``: the caller's name for it."""

    key: Hashable
    prompt: Prompt
    settings: Settings
    seed: int | None = None
    answers: int = 1


class CausalGeneration(Runner):
    """A tokenizer, a model, and continuations of prompts."""

    cpu_tokens = 4096  # most steps compute one token a row, whatever the row's length
    joins: ClassVar[bool] = True  # whether prompts can be continued in a batch that others join
    tokenizer: Any
    limit: int
    """How many tokens a prompt that is cut keeps, its answer's included."""
    most: int
    """How many the model can read."""
    begins_with = ""
    """The text before each prompt that is no conversation."""

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        self.load(request)
        self.chat = ChatTemplate(self.tokenizer, self.template)

    def load(self, request: LoadRequest) -> None:
        """Load the tokenizer and the model."""
        self.tokenizer = load_tokenizer(request)
        model, patches = load_model(request, find_model_class(request))
        self.model, self.base = generation.apart(model)
        self.turn = adapter.turn(model)
        self.device = request.device
        with self.turn:
            self.decoder, decoding = four_tokens.decoder(request, self.model, self.base)
        self.loaded = Loaded(model=model, tokenizer=self.tokenizer, patches=together(patches, decoding))
        self.begins_with = getattr(self.model.config, "prefix", None) or ""
        self.limit = cut_length(self.model, self.tokenizer)
        self.most = most_tokens(request, self.model)
        takes = inspect.signature(self.model.forward).parameters
        is_native = "model" not in request.code  # reviewed code may see padding
        self.pads = is_native and "attention_mask" in takes and "position_ids" in takes and not reads_tokens(self.base)

    def own_settings(self) -> dict[str, Any]:
        return generation.own(self.base)

    def check(self, settings: Settings) -> None:
        generation.check(self.base, settings)

    def answer(self, result: Any, settings: Settings, form: str) -> Any:
        """A list of answers where a prompt gets several."""
        several = generation.answers_per_prompt(settings) > 1
        answers = self.full([result], settings) if form == FULL else self.standard([result], settings)
        return answers if several else answers[0]

    def prompt(self, row: int, text: str, ids: list[int], settings: Settings) -> Prompt:
        """The prompt with the room it has; raises InputError naming the row when it is too long, or empty without a
        token to begin from.
        """
        new, total = generation.room_wanted(settings)
        limit = self.limit if self._cuts(settings) else self.most
        room = new if total is None else total - len(ids)
        assert room is not None
        if generation.is_default_room(settings) and total is None:
            room = min(room, max(1, limit - len(ids)))
        if total is not None and room < 1:
            raise InputError(
                f"the prompt has {len(ids)} tokens and max_length is {total}, which leaves no room for an answer;"
                " shorten the prompt, or set max_new_tokens instead.",
                row=row,
            )
        if len(ids) + room > limit:
            ids = self._cut(row, ids, room, limit, settings)
        if not ids:
            return Prompt(text, [self._first_token(row)], 0, room)
        return Prompt(text, ids, len(ids), room)

    def _cuts(self, settings: Settings) -> bool:
        """Whether a setting allows to cut a prompt that is too long."""
        return bool(settings.get("truncation")) or settings.get("handle_long_generation") == "hole"

    def _cut(self, row: int, ids: list[int], room: int, limit: int, settings: Settings) -> list[int]:
        """The prompt short enough, where a setting allows to cut it; raises InputError where none does."""
        length = limit - room
        if length < 1 or not self._cuts(settings):
            setting = "max_tokens" if self.task.setting("max_tokens") else "max_new_tokens"
            remedy = (
                f"ask for at most {limit - 1} new tokens."
                if length < 1
                else f"shorten the prompt, lower {setting}, or set truncation: true to have the prompt cut."
                if self.task.setting("truncation") is not None
                else f"shorten it, or lower {setting}."
            )
            raise InputError(
                f"the prompt has {len(ids)} tokens and {room} more are asked for, but the model reads at most"
                f" {limit}; {remedy}",
                row=row,
            )
        hole = settings.get("handle_long_generation") == "hole"
        return ids[-length:] if hole or self.tokenizer.truncation_side == "left" else ids[:length]

    def _first_token(self, row: int) -> int:
        """The token that an empty prompt begins from; raises InputError when the model has none."""
        tokens = self.first_tokens()
        if tokens:
            return tokens[0]
        raise InputError("the prompt is empty and the model has no token to begin a text with.", row=row)

    def first_tokens(self) -> list[int]:
        """The tokens that a text may begin from, the first choice first."""
        owners = (self.base, self.model.config, self.tokenizer)
        tokens = [getattr(owner, "bos_token_id", None) for owner in owners]
        return [token for token in tokens if isinstance(token, int)]

    def weight(self, prompt: Prompt, settings: Settings) -> int:
        """How many tokens the prompt takes in a batch, those of its answers included."""
        width = max(int(settings.get("num_beams") or 1), generation.answers_per_prompt(settings))
        return (len(prompt.ids) + prompt.room) * width

    def group(self, prompt: Prompt, settings: Settings, alone: Any) -> tuple[Any, ...]:
        """The key of the prompts that share a batch. They make the same number of tokens and, where the model sees
        padding, have one length. Prompts that are sampled with beams or stop strings, or timed, share no batch:
        ``alone`` tells them apart.
        """
        draws = generation.samples(settings) and not self.decoder.decodes(settings)
        is_alone = draws or settings.get("max_time") is not None
        even = not self.pads or generation.reads_prompt(settings)
        return (prompt.room, len(prompt.ids) if even else 0, alone if is_alone else None)

    def item(self, row: int, prompt: Prompt, settings: Settings) -> Item[Prompt]:
        """The one item of a row."""
        return Item(row, self.weight(prompt, settings), prompt, self.group(prompt, settings, row))

    def continued(
        self,
        prompts: Sequence[Prompt],
        settings: Settings,
        streamer: Any = None,
        seeds: Sequence[int | None] | None = None,
    ) -> list[tuple[Continuation, ...]]:
        """The answers to each prompt of one batch. ``streamer`` gets the tokens of a single prompt as the model makes
        them, and may end its answer. ``seeds``: one a prompt, where they differ from that of the settings.
        """
        import torch

        config = self.config(prompts[0], settings)
        rows = [{"input_ids": prompt.ids, "attention_mask": [1] * len(prompt.ids)} for prompt in prompts]
        inputs = padded(rows, {"input_ids": config.pad_token_id}, "left", self.device)
        width = inputs["input_ids"].shape[1]
        tools: dict[str, Any] = {"tokenizer": self.tokenizer} if config.stop_strings is not None else {}
        tools |= self.tools(settings, width, streamer)
        if streamer is None:
            own = [settings.get("seed")] * len(prompts) if seeds is None else seeds
            tools |= self.decoder.options(settings, own, self.device)
        tools = decoding.checked(tools, len(prompts))
        drawing = draws.drawing(settings, self.device, own="custom_generate" in tools)
        with torch.inference_mode(), self.turn, drawing:
            output = self.model.generate(**inputs, generation_config=config, streamer=streamer, **tools)
        count = output.shape[0] // len(prompts)
        lines = output[:, width:].cpu().tolist()
        return [
            tuple(
                self.continuation(prompt, line, config, settings) for line in lines[place * count : (place + 1) * count]
            )
            for place, prompt in enumerate(prompts)
        ]

    def tools(self, settings: Settings, width: int, streamer: Any = None) -> dict[str, Any]:
        """Arguments of generate() for the settings that its config does not have; ``width``: of the padded prompts."""
        ends = stop_text.criteria(self.tokenizer, stop_text.texts(settings), width, streamer)
        return {**ends, **penalties.processors(settings, width)}

    def asked(self, item: Item[Any], settings: Settings) -> Asked | None:
        """The prompt of an item that can be continued in a batch that others join; else None."""
        alone = self.alone or not self.pads or generation.reads_prompt(settings) or not self.decoder.decodes(settings)
        if alone or settings.get("max_time") is not None:
            return None
        answers = generation.answers_per_prompt(settings) if generation.samples(settings) else 1
        return Asked(item.row, item.content, settings, settings.get("seed"), answers)

    def finished(self, item: Item[Any], answers: tuple[Continuation, ...]) -> Any:
        """The item's result, in the form that ``run`` gives."""
        raise NotImplementedError

    def config(self, prompt: Prompt, settings: Settings) -> Any:
        """The transformers generation config for a batch of such prompts."""
        token = settings.get("pad_token_id", self.tokenizer.pad_token_id)
        ends = end_tokens(settings.get("eos_token_id", self.base.eos_token_id))
        pad = int(token) if token is not None else min(ends, default=0)
        return generation.config_for(self.base, settings, prompt.room, pad)

    def continuation(self, prompt: Prompt, line: list[int], config: Any, settings: Settings) -> Continuation:
        """The answer in the tokens ``line``, which the batch's padding may follow."""
        ids, ended = answer_tokens(line, config)
        stops = stop_text.texts(settings)
        if stops and (cut := stop_text.cut(self.tokenizer, ids, stops)) is not None:
            return Continuation(prompt, cut.text, cut.tokens, stopped=True)
        if ended and has_stop_text(self.tokenizer, ids[:-1], config):
            ids = ids[:-1]  # it ended before: where the model pads with its end token, this one is padding
        text = text_of(self.tokenizer, ids, skip_special_tokens=True)
        stopped = ended or has_stop_text(self.tokenizer, ids, config)
        return Continuation(prompt, text, len(ids), stopped)


def account(answer: Continuation, text: str) -> dict[str, Any]:
    """The full account of a continuation whose answer is ``text``."""
    return {
        "text": text,
        "prompt": answer.prompt.text,
        "prompt_tokens": answer.prompt.shown,
        "completion_tokens": answer.tokens,
        "finish_reason": answer.finish_reason,
    }
