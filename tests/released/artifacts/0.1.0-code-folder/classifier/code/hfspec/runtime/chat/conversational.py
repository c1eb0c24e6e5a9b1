"""What the assistant says next, one text a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hfspec.runtime.chat import conversations
from hfspec.runtime.chat.chat_template import messages_of
from hfspec.runtime.family import Row
from hfspec.runtime.generation.causal_generation import CausalGeneration, Continuation, Prompt, account
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.settings import Settings


class Conversational(CausalGeneration):
    """Equal to what the library's text-generation pipeline adds to one conversation alone, but for its defaults: what
    neither the checkpoint nor the spec says is not sampled.
    """

    def rows(self, data: Any) -> list[Row] | None:
        return conversations.to_conversations(data)

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Prompt]]:
        return [self.item(row.number, self._prompt(row, settings), settings) for row in rows]

    def _prompt(self, row: Row, settings: Settings) -> Prompt:
        text, ids = self.chat.render(messages_of(row.values["messages"], row.number), row.number)
        return replace(self.prompt(row.number, text, ids, settings), chat=True)

    def run(self, batch: Sequence[Item[Prompt]], settings: Settings) -> list[tuple[Continuation, ...]]:
        return self.continued([item.content for item in batch], settings)

    def standard(self, results: Sequence[tuple[Continuation, ...]], settings: Settings) -> list[str]:  # noqa: ARG002
        return [made.text for several in results for made in several]

    def full(self, results: Sequence[tuple[Continuation, ...]], settings: Settings) -> list[dict[str, Any]]:  # noqa: ARG002
        return [account(made, made.text) for several in results for made in several]
