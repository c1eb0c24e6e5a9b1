"""What can go wrong between a client and the hub, on demand."""

from __future__ import annotations

import random
import re
import threading
from dataclasses import dataclass

KINDS = (
    "status",  # an answer of `status`, with Retry-After when `retry_after` is given
    "drop",  # the connection is reset before any answer
    "cut",  # the connection is closed in the middle of the body
    "reset",  # the connection is reset in the middle of the body
    "stall",  # no answer, the connection stays open
    "stall-body",  # half the body, then nothing, the connection stays open
    "truncate",  # half the body, declared as if it were all
    "corrupt",  # a body of the right length with wrong bytes
)
TRANSIENT = ("status", "drop", "cut", "reset", "truncate")
ANY = (*TRANSIENT, "stall", "stall-body")  # all that passes; the stalls last as long as the client waits


@dataclass
class Fault:
    """Goes wrong for the next ``times`` requests whose "METHOD /path" matches ``pattern``."""

    kind: str
    pattern: str = ""
    times: int = 1
    status: int = 503
    retry_after: str = ""

    def __post_init__(self) -> None:
        assert self.kind in KINDS


class Faults:
    """The faults in wait, asked for by every request; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []
        self._random: random.Random | None = None
        self._one_in = 0
        self._kinds = TRANSIENT
        self._left: int | None = None

    def add(self, kind: str, pattern: str = "", **more) -> None:
        with self._lock:
            self._waiting.append(Fault(kind, pattern, **more))

    def flaky(self, one_in: int, seed: int, kinds: tuple[str, ...] = TRANSIENT) -> None:
        """From now on one request in so many fails, in a way that a client can recover from."""
        with self._lock:
            self._random, self._one_in, self._kinds = random.Random(seed), one_in, kinds

    def lose_after(self, requests: int) -> None:
        """So many requests are answered, and then none any more."""
        with self._lock:
            self._left = requests

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()
            self._random = self._left = None

    def take(self, request: str) -> Fault | None:
        """The fault that this request meets, if any."""
        with self._lock:
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    return Fault("drop")
            for fault in self._waiting:
                if fault.times > 0 and re.search(fault.pattern, request):
                    fault.times -= 1
                    return fault
            if self._random is not None and self._random.randrange(self._one_in) == 0:
                return Fault(self._random.choice(self._kinds), status=self._random.choice((429, 500, 502, 503)))
            return None
