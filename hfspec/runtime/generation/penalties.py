"""Penalties on tokens that the answer already has, as the OpenAI API defines them.

https://platform.openai.com/docs/advanced-usage: the logit of a token is lowered by frequency_penalty times how often
the answer has it, and by presence_penalty when it has it at all. The prompt's tokens do not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hfspec.settings.precedence import Settings


def processors(settings: Settings, width: int) -> dict[str, Any]:
    """Arguments of generate() for the penalties in force; ``width``: how many tokens the prompts have, with padding."""
    frequency = float(settings.get("frequency_penalty") or 0)
    presence = float(settings.get("presence_penalty") or 0)
    if not frequency and not presence:
        return {}
    from transformers import LogitsProcessorList

    return {"logits_processor": LogitsProcessorList([Penalties(frequency, presence, width)])}


@dataclass(frozen=True, slots=True)
class Penalties:
    """A logits processor for generate()."""

    frequency: float
    presence: float
    width: int

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        answer = input_ids[:, self.width :]
        counts = torch.zeros_like(scores).scatter_add_(1, answer, torch.ones_like(answer, dtype=scores.dtype))
        return scores - self.frequency * counts - self.presence * (counts > 0)
