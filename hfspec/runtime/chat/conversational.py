"""The assistant's next message, one text a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hfspec.inputs import conversations
from hfspec.inputs.row import Row
from hfspec.runtime.chat.chat_template import messages_of
from hfspec.runtime.generation.causal_generation import CausalGeneration, Continuation, Prompt, account
from hfspec.runtime.scheduling.batching import Item
from hfspec.settings.precedence import Settings


class Conversational(CausalGeneration):
    """A runner that answers one conversation alone as the transformers text-generation pipeline does, but for its
    defaults: it samples only where the checkpoint or the spec says so.
    """

    def rows(self, data: Any) -> list[Row] | None:
        return conversations.to_conversations(data)

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Prompt]]:
        items = []
        for row in rows:
            text, ids = self.chat.render(messages_of(row.values["messages"], row.number), row.number)
            prompt = replace(self.prompt(row.number, text, ids, settings), chat=True)
            items.append(self.item(row.number, prompt, settings))
        return items

    def run(self, batch: Sequence[Item[Prompt]], settings: Settings) -> list[tuple[Continuation, ...]]:
        return self.continued([item.content for item in batch], settings)

    def standard(self, results: Sequence[tuple[Continuation, ...]], settings: Settings) -> list[str]:
        return [answer.text for several in results for answer in several]

    def full(self, results: Sequence[tuple[Continuation, ...]], settings: Settings) -> list[dict[str, Any]]:
        return [account(answer, answer.text) for several in results for answer in several]
