"""Completions of the OpenAI API: continuations of one prompt or of many."""

from __future__ import annotations

from typing import Any

from hfspec.errors import about
from hfspec.inputs.cells import checked
from hfspec.inputs.openai_requests import Request, check_flag, texts_of
from hfspec.inputs.prompt import filled
from hfspec.ir.signature import Column
from hfspec.runtime.chat.openai_generation import Ask, OpenAIGeneration, Reply
from hfspec.runtime.chat.openai_objects import Head
from hfspec.runtime.text.tokens import encode

KIND = "text_completion"


class Completions(OpenAIGeneration):
    """A runner that reads a prompt with the special tokens that the tokenizer adds to any text."""

    prefix = "cmpl"

    def prompts(self, request: Request) -> list[tuple[str, list[int]]]:
        check_flag("echo", request.values.get("echo", False), request.row)
        column = Column("string", "prompt")
        with about("prompt"):
            prompts = texts_of(request, "prompt", "prompts")
            texts = [filled(self.template, checked(prompt, column, request.row)) for prompt in prompts]
        return [(text, mine["input_ids"]) for text, mine in zip(texts, encode(self.tokenizer, texts), strict=True)]

    def whole(self, head: Head, reply: Reply, counts: dict[str, int]) -> dict[str, Any]:
        choices = [
            _choice(choice.ask.index, _echo(choice.ask) + choice.made.text, choice.made.finish_reason)
            for choice in reply
            if choice.made is not None
        ]
        return head.body(KIND, choices, usage=counts)

    def opening(self, head: Head, ask: Ask) -> list[dict[str, Any]]:
        return [self.piece(head, ask.index, _echo(ask), None)] if _echo(ask) else []

    def piece(self, head: Head, index: int, text: str | None, finish_reason: str | None) -> dict[str, Any]:
        return head.body(KIND, [_choice(index, text or "", finish_reason)])

    def last(self, head: Head, counts: dict[str, int]) -> dict[str, Any]:
        return head.body(KIND, [], usage=counts)


def _choice(index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}


def _echo(ask: Ask) -> str:
    """The prompt, template included, where the request asks for it in the answer."""
    return ask.prompt.text if ask.request.values.get("echo") is True else ""
