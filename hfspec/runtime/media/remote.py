"""The only place where a predictor speaks to the network: an address in the input, where the spec allows it."""

from __future__ import annotations

import time
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from hfspec.errors import InputError

SCHEMES = ("http://", "https://")
CHUNK = 1 << 16


def fetch(address: str, row: int, max_bytes: int, seconds: float) -> bytes:
    """What the address gives; raises InputError naming the row when it gives nothing, too much, or takes too long."""
    deadline = time.monotonic() + seconds
    opener = build_opener(ProxyHandler(), _SameSchemes())
    try:
        with opener.open(Request(address, headers={"User-Agent": "hfspec"}), timeout=seconds) as answer:  # noqa: S310
            return _read(answer, address, row, max_bytes, deadline)
    except HTTPError as error:
        raise InputError(f"{address} answers {error.code} {error.reason}.", row=row) from error
    except TimeoutError as error:
        raise InputError(_slow(address), row=row) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        slow = isinstance(reason, TimeoutError)
        raise InputError(_slow(address) if slow else f"{address} cannot be fetched: {reason}.", row=row) from error


def _read(answer: Any, address: str, row: int, max_bytes: int, deadline: float) -> bytes:
    content = bytearray()
    while chunk := answer.read1(CHUNK):
        content += chunk
        if len(content) > max_bytes:
            raise InputError(
                f"{address} gives more than {max_bytes} bytes; give a smaller file, or raise url_max_bytes.", row=row
            )
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(content)


def _slow(address: str) -> str:
    return f"{address} takes too long; try again, or raise url_timeout."


class _SameSchemes(HTTPRedirectHandler):
    """Redirects lead to http and https only."""

    def redirect_request(  # noqa: PLR0917 - as urllib has it
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if not newurl.lower().startswith(SCHEMES):
            raise ValueError(f"it redirects to {newurl}, which is not an http or https address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
