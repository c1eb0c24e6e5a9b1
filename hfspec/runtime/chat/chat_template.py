"""A conversation as the prompt of the checkpoint's training, by its own chat template.

The template writes the whole prompt, the token that begins a text included where the model wants one, so that the
tokenizer adds none. A spec's prompt_template goes around the content of the last user message, before the chat
template; a conversation without a user message stays as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hfspec.errors import InputError
from hfspec.inputs.cells import found, is_missing, plain_text
from hfspec.inputs.prompt import filled

ROLES_SHOWN = "system, user, assistant, tool"
Message = dict[str, Any]


def messages_of(value: Any, row: int) -> list[Message]:
    """The messages of a conversation, a text being one user message; raises InputError naming the row."""
    if isinstance(value, str):
        return [{"role": "user", "content": plain_text(value, "message 0", row)}]
    if hasattr(value, "tolist") and getattr(value, "ndim", 0) == 1:
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise InputError(f"expected a list of messages, each with role and content; found {found(value)}.", row=row)
    if not value:
        raise InputError("the conversation has no messages; give at least one.", row=row)
    return [_message(item, place, row) for place, item in enumerate(value)]


class ChatTemplate:
    """The chat template of ``tokenizer``. ``around``: the spec's prompt_template, None for none."""

    def __init__(self, tokenizer: Any, around: str | None) -> None:
        self.tokenizer = tokenizer
        self.around = around

    @property
    def exists(self) -> bool:
        return bool(getattr(self.tokenizer, "chat_template", None))

    def render(
        self, messages: Sequence[Message], row: int, tools: Sequence[Any] | None = None
    ) -> tuple[str, list[int]]:
        """The prompt as text and as tokens.

        Raises InputError naming the row: no template, tools that the template does not take, messages it refuses.
        """
        if not self.exists:
            raise InputError(
                "the model has no chat template, so messages cannot be put to it; give the prompt as text.", row=row
            )
        if tools and not re.search(r"\btools\b", self.tokenizer.get_chat_template(tools=list(tools))):
            raise InputError("the model's chat template takes no tools; leave tools out.", row, "tools")
        text = self._rendered(self._with_template(messages, row), row, tools)
        return text, list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _rendered(self, messages: list[Message], row: int, tools: Sequence[Any] | None) -> str:
        try:
            text = str(
                self.tokenizer.apply_chat_template(
                    messages, tools=list(tools) if tools else None, tokenize=False, add_generation_prompt=True
                )
            )
            text.encode()  # a lone surrogate is no text
        except Exception as error:  # a template is a program of the checkpoint's own, and may fail in any way
            reason = "it takes more memory than there is" if isinstance(error, MemoryError) else error
            raise InputError(f"the model's chat template refuses the messages: {reason}", row=row) from error
        return text

    def _with_template(self, messages: Sequence[Message], row: int) -> list[Message]:
        places = [place for place, message in enumerate(messages) if message["role"] == "user"]
        result = [dict(message) for message in messages]
        if self.around is not None and places:
            result[places[-1]]["content"] = filled(self.around, result[places[-1]]["content"], row)
        return result


def _message(value: Any, place: int, row: int) -> Message:
    if not isinstance(value, Mapping):
        raise InputError(f"message {place}: expected a mapping with role and content, found {found(value)}.", row=row)
    role = value.get("role")
    if not isinstance(role, str) or not role:
        raise InputError(f"message {place}: the role must be a text ({ROLES_SHOWN}), found {found(role)}.", row=row)
    fields = {str(key): item for key, item in value.items() if not is_missing(item)}
    if isinstance(fields.get("tool_calls"), list | tuple):
        fields["tool_calls"] = [_call(call, place, row) for call in fields["tool_calls"]]
    elif "content" not in fields:
        raise InputError(f"message {place}: the content is missing.", row=row)
    return {**fields, "content": _content(fields.get("content", ""), place, row)}


def _content(value: Any, place: int, row: int) -> str:
    """A text, or the texts of the API's list of parts, each on a line of its own."""
    if isinstance(value, str):
        return plain_text(value, f"message {place}", row)
    parts = list(value) if isinstance(value, list | tuple) else []
    if not parts or not all(isinstance(part, Mapping) for part in parts):
        raise InputError(f"message {place}: the content must be text, found {found(value)}.", row=row)
    if other := [
        part.get("type") for part in parts if part.get("type") != "text" or not isinstance(part.get("text"), str)
    ]:
        raise InputError(
            f"message {place}: the model reads text only, and the content has a part of type {other[0]!r}.", row=row
        )
    return "\n".join(plain_text(part["text"], f"message {place}", row) for part in parts)


def _call(call: Any, place: int, row: int) -> Any:
    """A tool call with its arguments as a mapping, which templates expect; the API sends them as JSON text."""
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
        return call
    try:
        return {**call, "function": {**function, "arguments": json.loads(function["arguments"] or "{}")}}
    except ValueError as error:
        raise InputError(f"message {place}: the arguments of a tool call are not JSON: {error}.", row=row) from error
