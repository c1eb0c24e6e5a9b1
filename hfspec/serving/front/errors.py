"""The refusal of a request: a status and a sentence, which each protocol puts in its own form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass
class RequestError(Exception):
    """A request that gets no answer.

    Args:
        status: The status of HTTP.
        message: A sentence for the caller.
        kind: The name of hfspec's error, or one of the server's own.
        row: The row at fault, counted from 0, where known.
        key: The key of the request at fault, where known.
        headers: Further headers of the response.
        cause: The class and the message of the library's error, for the server's log and not for the caller.
    """

    status: int
    message: str
    kind: str = "RequestError"
    row: int | None = None
    key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cause: tuple[str, str] | None = None

    @property
    def text(self) -> str:
        """The message with its row."""
        return self.message if self.row is None else f"row {self.row}: {self.message}"


# hfspec's errors with which a replica refuses -> status of HTTP.
STATUS = MappingProxyType(
    {
        "InputError": 400,
        "ParamsError": 400,
        "UsageError": 400,
        "OutOfMemoryError": 413,
        "ExpiredError": 504,
        "OutputError": 500,
    }
)
INTERNAL = "the model failed on this request; the server's log has the request's id and the cause."


def of_replica(kind: str, message: str, row: int | None, key: str | None) -> RequestError:
    """A replica's error; a fault of the server gets a general message instead of its own."""
    if kind not in STATUS:
        return RequestError(500, INTERNAL, "InternalError", row, cause=(kind, " ".join(message.split())))
    return RequestError(STATUS[kind], message, kind, row, key)


def unavailable(message: str, seconds: float = 1.0) -> RequestError:
    """The model cannot answer now, and may in so many seconds."""
    return RequestError(503, message, "UnavailableError", headers={"retry-after": str(max(1, round(seconds)))})


def too_many_rows(rows: int, most: int) -> RequestError:
    """A request with more rows than the model takes at once."""
    return RequestError(413, f"the request has {rows} rows; the model takes at most {most} at once.", "TooLargeError")
