"""Continuations of prompts by decoder-only models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hfspec.errors import InputError
from hfspec.inputs import conversations
from hfspec.inputs.row import Row
from hfspec.inputs.rows import Columns
from hfspec.runtime.chat.chat_template import messages_of
from hfspec.runtime.generation.causal_generation import CausalGeneration, Continuation, Prompt, account
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.text.tokens import encode
from hfspec.settings.precedence import Settings


class TextGeneration(CausalGeneration):
    """A runner that answers as the transformers text-generation pipeline does for one prompt alone, but for its
    defaults: it samples only where the checkpoint or the spec says so. A row may be a conversation, which goes through
    the checkpoint's chat template; its answer is the assistant's text alone.
    """

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        self.columns = Columns(request.task, request.manifest.signature.inputs, self.template)

    def rows(self, data: Any) -> list[Row] | None:
        prompts = conversations.among_prompts(data, self.columns)
        if prompts and not self.chat.exists:
            raise InputError(
                "this is a list of chat messages (role, content), and the model has no chat template to put them to it;"
                " give the prompt as text.",
                row=next(row.number for row in prompts if "messages" in row.values),
            )
        return prompts

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Prompt]]:
        prompted = {row.number: self.prompt_text(row) for row in rows if "messages" not in row.values}
        special = settings.get("add_special_tokens")
        options = {} if special is None else {"add_special_tokens": special}
        tokens = iter(encode(self.tokenizer, [self.begins_with + text for text in prompted.values()], **options))
        prompts = []
        for row in rows:
            if row.number not in prompted:
                text, ids = self.chat.render(messages_of(row.values["messages"], row.number), row.number)
            else:
                text, ids = prompted[row.number], list(next(tokens)["input_ids"])
            prompt = self.prompt(row.number, text, ids, settings)
            prompts.append(replace(prompt, chat=row.number not in prompted))
        return [self.item(row.number, prompt, settings) for row, prompt in zip(rows, prompts, strict=True)]

    def run(self, batch: Sequence[Item[Prompt]], settings: Settings) -> list[tuple[Continuation, ...]]:
        return self.continued([item.content for item in batch], settings)

    def finished(self, item: Item[Prompt], answers: tuple[Continuation, ...]) -> tuple[Continuation, ...]:
        return answers

    def _answer(self, answer: Continuation, settings: Settings) -> str:
        include_prompt = settings.get("include_prompt")
        whole = settings.get("return_full_text")
        if whole is None:
            whole = include_prompt is True or self.template is None
        text = answer.text.lstrip("\r\n") if include_prompt is False else answer.text
        if whole and include_prompt is not False and not answer.prompt.chat:
            text = answer.prompt.text + text
        return " ".join(text.split()) if settings.get("collapse_whitespace") else text

    def standard(self, results: Sequence[tuple[Continuation, ...]], settings: Settings) -> list[str]:
        return [self._answer(answer, settings) for several in results for answer in several]

    def full(self, results: Sequence[tuple[Continuation, ...]], settings: Settings) -> list[dict[str, Any]]:
        return [account(answer, self._answer(answer, settings)) for several in results for answer in several]
