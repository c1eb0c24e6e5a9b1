"""What a request is refused with: a status and a sentence, which each protocol puts in its own form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass
class RequestError(Exception):
    """A request that gets no answer.

    Args:
        status: Of HTTP.
        message: A sentence for the caller.
        kind: The name of hfspec's error, or one of the server's own.
        row: The row at fault, counted from 0, where known.
        headers: Further ones of the response.
    """

    status: int
    message: str
    kind: str = "RequestError"
    row: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The message with its row."""
        return self.message if self.row is None else f"row {self.row}: {self.message}"


# What a replica refuses with, by the names of hfspec's errors.
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


def of_replica(kind: str, message: str, row: int | None) -> RequestError:
    """The error that a replica tells of; what is a fault of the server is not told in its words."""
    if kind not in STATUS:
        return RequestError(500, INTERNAL, "InternalError", row)
    return RequestError(STATUS[kind], message, kind, row)


def unavailable(message: str, seconds: float = 1.0) -> RequestError:
    """The model cannot answer now, and may in so many seconds."""
    return RequestError(503, message, "UnavailableError", headers={"retry-after": str(max(1, round(seconds)))})


def too_many_rows(rows: int, most: int) -> RequestError:
    """A request with more rows than the model takes at once."""
    return RequestError(413, f"the request has {rows} rows; the model takes at most {most} at once.", "TooLargeError")
