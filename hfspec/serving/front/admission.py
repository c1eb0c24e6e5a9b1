"""What may wait for a model: rows, tokens and bytes, and how long until there is room."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from hfspec.serving.fleet.values import Limits
from hfspec.serving.front.errors import RequestError

BYTES = 1 << 30  # that wait for one model at most
TOKENS_PER_BYTE = 0.25  # until the model's own is measured
MEMORY = 0.9  # of a measured value, at each new one
LONGEST_WAIT = 60.0  # seconds told to a caller at most


@dataclass(frozen=True, slots=True)
class Load:
    """What a request brings: its rows, and the bytes of its body."""

    rows: int
    size: int


class Admission:
    """The rows that a model has taken and not answered, counted before a request is passed on."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits, self.rows, self.size = limits, 0, 0
        self._clock = clock
        self._density = TOKENS_PER_BYTE
        self._rate = 0.0  # bytes a second
        self._last = clock()

    @property
    def tokens(self) -> int:
        """The tokens that wait, by what a byte of this model's requests was measured to hold."""
        return int(self.size * self._density)

    def take(self, load: Load) -> None:
        """Let the request in; raises RequestError: 413 where it is too large by itself, 429 while there is no room."""
        limits = self.limits
        if load.rows > limits.rows:
            raise RequestError(
                413,
                f"the request has {load.rows} rows; the model takes at most {limits.rows} at once.",
                "TooLargeError",
            )
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
        self.rows += load.rows
        self.size += load.size

    def give_back(self, load: Load) -> None:
        """The request waits no more."""
        self.rows -= load.rows
        self.size -= load.size

    def measured(self, load: Load, tokens: int, seconds: float) -> None:
        """A request was answered: so many tokens, so many seconds in the model."""
        if load.size and tokens:
            self._density = MEMORY * self._density + (1 - MEMORY) * tokens / load.size
        now = self._clock()
        rate = load.size / max(seconds, now - self._last, 1e-4)
        self._rate = rate if not self._rate else MEMORY * self._rate + (1 - MEMORY) * rate
        self._last = now

    def seconds(self) -> int:
        """How many seconds what waits will take, by the measured rate."""
        wait = self.size / self._rate if self._rate else 1.0
        return math.ceil(min(max(wait, 1.0), LONGEST_WAIT))
