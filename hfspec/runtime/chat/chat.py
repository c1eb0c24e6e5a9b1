"""Chat completions of the OpenAI API, through the checkpoint's chat template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hfspec.errors import InputError, about
from hfspec.inputs.cells import found
from hfspec.inputs.openai_requests import Request
from hfspec.runtime.chat.chat_template import messages_of
from hfspec.runtime.chat.openai_generation import Ask, OpenAIGeneration, Reply
from hfspec.runtime.chat.openai_objects import Head

CHUNK = "chat.completion.chunk"


class Chat(OpenAIGeneration):
    """A runner whose message has the text as the model wrote it; it does not take calls of tools in it apart."""

    prefix = "chatcmpl"

    def prompts(self, request: Request) -> list[tuple[str, list[int]]]:
        with about("messages"):
            messages = messages_of(request.values["messages"], request.row)
            return [self.chat.render(messages, request.row, _tools(request))]

    def whole(self, head: Head, reply: Reply, counts: dict[str, int]) -> dict[str, Any]:
        choices = [
            {
                "index": choice.ask.index,
                "message": {"role": "assistant", "content": choice.made.text, "refusal": None},
                "logprobs": None,
                "finish_reason": choice.made.finish_reason,
            }
            for choice in reply
            if choice.made is not None
        ]
        return head.body("chat.completion", choices, usage=counts)

    def opening(self, head: Head, ask: Ask) -> list[dict[str, Any]]:
        return [self._chunk(head, ask.index, {"role": "assistant", "content": ""}, None)]

    def piece(self, head: Head, index: int, text: str | None, finish_reason: str | None) -> dict[str, Any]:
        return self._chunk(head, index, {} if text is None else {"content": text}, finish_reason)

    def _chunk(self, head: Head, index: int, delta: dict[str, str], finish_reason: str | None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return head.body(CHUNK, [choice])

    def last(self, head: Head, counts: dict[str, int]) -> dict[str, Any]:
        return head.body(CHUNK, [], usage=counts)


def _tools(request: Request) -> list[Any] | None:
    """The tools for the template; raises InputError naming the row."""
    tools, choice = request.values.get("tools"), request.values.get("tool_choice", "auto")
    if choice not in ("auto", "none"):
        raise InputError(
            f"tool_choice: the model cannot be made to call a tool; give 'auto' or 'none', not {found(choice)}.",
            request.row,
            "tool_choice",
        )
    if tools is None or choice == "none":
        return None
    if not isinstance(tools, list | tuple) or not all(isinstance(tool, Mapping) for tool in tools):
        raise InputError(f"tools: expected a list of mappings, found {found(tools)}.", request.row, "tools")
    return list(tools)
