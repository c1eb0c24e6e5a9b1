"""How much may wait for a model, in rows, tokens and bytes, and how long until there is room."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from hfspec.serving.fleet.values import Limits
from hfspec.serving.front.errors import RequestError, too_many_rows

BYTES = 1 << 30  # most bytes that wait for one model
TOKENS_PER_BYTE = 0.25  # until the model's own is measured
MEMORY = 0.9  # weight of the old value, at each new measurement
LONGEST_WAIT = 60.0  # seconds told to a caller at most
SPAN = 5.0  # seconds over which answers are counted for a rate


@dataclass(frozen=True, slots=True)
class Load:
    """The load of a request: its rows, and the bytes of its body."""

    rows: int
    size: int


class Admission:
    """The rows that a model has taken and not answered, counted before a request is passed on."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits, self.rows, self.size = limits, 0, 0
        self._clock = clock
        self._density = TOKENS_PER_BYTE
        self._rate = 0.0  # bytes a second
        self._since, self._answered = clock(), 0  # bytes of the requests that were answered since then

    @property
    def tokens(self) -> int:
        """The tokens that wait, by the measured tokens per byte of this model's requests."""
        return int(self.size * self._density)

    def take(self, load: Load) -> None:
        """Let the request in; raises RequestError: 413 where it is too large by itself, 429 while there is no room."""
        limits = self.limits
        if load.rows > limits.rows:
            raise too_many_rows(load.rows, limits.rows)
        fits = (
            self.rows + load.rows <= limits.queue_rows
            and self.tokens + load.size * self._density <= limits.queue_tokens
            and self.size + load.size <= BYTES
        )
        if not fits and self.rows:
            raise RequestError(
                429,
                f"{self.rows} rows wait for this model, and there is no room for {load.rows} more; try again later.",
                "OverloadedError",
                headers={"retry-after": str(self.seconds())},
            )
        if not self.rows:  # the model was idle, which says nothing of its rate
            self._since, self._answered = self._clock(), 0
        self.rows += load.rows
        self.size += load.size

    def give_back(self, load: Load) -> None:
        """Give back the room of a request that waits no more."""
        self.rows -= load.rows
        self.size -= load.size

    def measured(self, load: Load, tokens: int) -> None:
        """Take note that a request was answered, which had so many tokens."""
        if load.size and tokens:
            self._density = MEMORY * self._density + (1 - MEMORY) * tokens / load.size
        now = self._clock()
        if self._answered and now - self._since >= SPAN:  # this answer may be one of a batch, and begins the next span
            self._rate = self._answered / (now - self._since)
            self._since, self._answered = now, 0
        self._answered += load.size

    def seconds(self) -> int:
        """Seconds until the waiting bytes are answered, by the measured rate; 1 where nothing was measured."""
        rate = self._rate or self._answered / max(self._clock() - self._since, 1e-3)
        return math.ceil(min(max(self.size / rate if rate else 1.0, 1.0), LONGEST_WAIT))
