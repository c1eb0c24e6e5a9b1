"""The objects that the OpenAI API answers with, as plain JSON values.

https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


def _identity() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class World:
    """The sources of an answer's time, in seconds since 1970, and of its identity."""

    clock: Callable[[], float] = field(default=time.time)
    identity: Callable[[], str] = field(default=_identity)


@dataclass(frozen=True, slots=True)
class Head:
    """The fields that all objects of one answer share."""

    id: str
    created: int
    model: str

    @classmethod
    def new(cls, prefix: str, model: str, world: World) -> Head:
        return cls(f"{prefix}-{world.identity()}", int(world.clock()), model)

    def body(self, kind: str, choices: Sequence[Any], **more: Any) -> dict[str, Any]:
        """An object of this kind."""
        own = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return {**own, "choices": list(choices), **more}


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """The counts of the prompt's tokens and the answer's; the token that ends an answer counts too."""
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}
