"""Bodies that a client has compressed, as their header content-encoding says."""

from __future__ import annotations

import zlib

from hfspec.serving.front.errors import RequestError

TAKEN = ("gzip", "deflate")
PLAIN = frozenset({"", "identity"})
EITHER = 32 + zlib.MAX_WBITS  # gzip's head or zlib's


def unpacking(encoding: str) -> Unpacking | None:
    """The function that makes a body of this encoding plain, None for a plain one; raises RequestError."""
    if encoding in PLAIN:
        return None
    if encoding not in TAKEN:
        raise RequestError(
            415,
            f"the body is compressed by {encoding[:40]!r}; send it as it is, or by {' or '.join(TAKEN)}.",
            "ContentEncodingError",
            headers={"accept-encoding": ", ".join(TAKEN)},
        )
    return Unpacking(encoding)


class Unpacking:
    """One body, part by part."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._stream = zlib.decompressobj(EITHER)

    def __call__(self, part: bytes, most: int) -> bytes:
        """The part made plain, no more than ``most`` bytes of it; raises RequestError."""
        try:
            return self._stream.decompress(part, most)
        except zlib.error as error:
            raise self._wrong() from error

    def end(self) -> None:
        """Raises RequestError where the body is not whole, or goes on after its end."""
        if not self._stream.eof or self._stream.unused_data:
            raise self._wrong()

    def _wrong(self) -> RequestError:
        message = f"the body is not {self._encoding}, as its header content-encoding says."
        return RequestError(400, message, "ContentEncodingError")
