"""How long the hub is waited for, and what is tried again."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from huggingface_hub.errors import HfHubHTTPError, HTTPError

T = TypeVar("T")
TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
# Errors of the HTTP client that no second try mends, by the client's own class names.
LASTING = frozenset({"InvalidURL", "UnsupportedProtocol", "LocalProtocolError", "ProxyError", "TooManyRedirects"})


class IncompleteAnswerError(Exception):
    """Fewer bytes came than the hub announced, or bytes that are no answer at all."""


@dataclass(frozen=True, slots=True)
class Patience:
    """``tries`` without any new byte before giving up, ``tries_to_connect`` where nobody answers at all.

    Waits in seconds, doubled from ``first_wait`` up to ``longest_wait``; ``longest_asked``: the most that a Retry-After
    may ask for. ``answer_timeout`` and ``stall_timeout``: seconds without a byte before a connection counts as stalled,
    for the hub's API and for files.
    """

    tries: int = 8
    tries_to_connect: int = 4
    first_wait: float = 1.0
    longest_wait: float = 30.0
    longest_asked: float = 300.0
    answer_timeout: float = 10.0
    stall_timeout: float = 10.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Patience:
        """Read how long to wait from the hub client's own variables, and from HFSPEC_HUB_FIRST_WAIT.

        Args:
            environment: The environment's variables; a value that is no positive number is ignored.

        Returns:
            The patience.
        """
        usual = cls()
        return cls(
            first_wait=_seconds(environment.get("HFSPEC_HUB_FIRST_WAIT"), usual.first_wait),
            answer_timeout=_seconds(environment.get("HF_HUB_ETAG_TIMEOUT"), usual.answer_timeout),
            stall_timeout=_seconds(environment.get("HF_HUB_DOWNLOAD_TIMEOUT"), usual.stall_timeout),
        )

    def wait(self, failures: int, delay: float | None) -> float:
        """Tell how long to wait before the next try.

        Args:
            failures: How many tries have failed.
            delay: The seconds that the hub asks for; None: it asks for nothing.

        Returns:
            Seconds: what the hub asked for, else exponential with jitter.
        """
        if delay is not None:
            return delay
        longest = min(self.longest_wait, self.first_wait * 2.0 ** (failures - 1))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 -- spreads clients out, guards nothing

    def keep_trying(self, action: Callable[[], T], done: Callable[[], int] = lambda: 0) -> T:
        """Try an action again after each transient failure.

        Args:
            action: What to try.
            done: How much is done; a try after which it has grown starts the count anew.

        Returns:
            What ``action`` returns.

        Raises:
            Exception: The last failure of ``action``.
        """
        failures, before = 0, done()
        while True:
            try:
                return action()
            except (HTTPError, IncompleteAnswerError) as error:
                now = done()
                failures, before = (1 if now > before else failures + 1), now
                delay = requested_delay(error)
                if not is_transient(error) or failures >= self.most_tries(error) or (delay or 0) > self.longest_asked:
                    raise
                time.sleep(self.wait(failures, delay))

    def most_tries(self, error: Exception) -> int:
        """How often to try what fails in this way.

        Args:
            error: The failure.

        Returns:
            The number of tries.
        """
        return self.tries_to_connect if "Connect" in type(error).__name__ else self.tries


def is_transient(error: Exception) -> bool:
    """Tell whether to try again.

    Args:
        error: The failure.

    Returns:
        Whether the same request may well succeed a little later.
    """
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in TRANSIENT_STATUS
    return type(error).__name__ not in LASTING


def requested_delay(error: Exception) -> float | None:
    """Read how long the hub asks to wait.

    Args:
        error: The hub's answer.

    Returns:
        The seconds of its Retry-After, a number or a date; None when it asks for nothing.
    """
    if not isinstance(error, HfHubHTTPError):
        return None
    text = str(error.response.headers.get("Retry-After", "")).strip()
    if text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _seconds(text: str | None, default: float) -> float:
    try:
        value = float(text or "")
    except ValueError:
        return default
    return value if value > 0 and math.isfinite(value) else default
