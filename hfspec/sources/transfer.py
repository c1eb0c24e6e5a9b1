"""Bytes of the hub's files: ranges of them, and whole files whose download goes on where it was interrupted.

The client's own hf_hub_download resumes within one call only, and throws its partial file away when the call fails;
here the partial file stays, so that the next try, and the next run, go on from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.utils import get_session, hf_raise_for_status

from hfspec.sources.patience import IncompleteAnswerError, Patience


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on the hub. ``headers`` say who asks."""

    url: str
    size: int
    headers: dict[str, str]
    patience: Patience

    @contextmanager
    def _open(self, first: int, last: int | None) -> Iterator[Any]:
        """The response with the bytes from ``first`` to ``last``; status 200 when the server gives the whole file."""
        headers = {**self.headers, "Accept-Encoding": "identity"}
        if first or last is not None:
            headers["Range"] = f"bytes={first}-{'' if last is None else last}"
        session = get_session()
        with session.stream("GET", self.url, headers=headers, timeout=self.patience.stall_timeout) as response:
            hf_raise_for_status(response)
            yield response

    def read(self, first: int, count: int) -> bytes:
        """Read these bytes, without the rest of the file.

        Args:
            first: The place of the first byte.
            count: How many bytes.

        Returns:
            Exactly these bytes.
        """
        return self.patience.keep_trying(lambda: self._read(first, count))

    def _read(self, first: int, count: int) -> bytes:
        data = bytearray()
        with self._open(first, first + count - 1) as response:
            skip = first if response.status_code == 200 else 0
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) >= skip + count:
                    break
        if len(data) < skip + count:
            raise IncompleteAnswerError(f"{len(data)} of {skip + count} bytes came")
        return bytes(data[skip : skip + count])

    def download(self, partial: Path, report: Callable[[int], None]) -> None:
        """Download all of the file, from the end of what is there.

        Args:
            partial: The file to download into.
            report: Gets each number of new bytes once.

        Raises:
            IncompleteAnswerError: The answer ends too early.
            OSError: The disk refuses a write.
            Exception: The client's errors.
        """
        partial.touch()
        meter = _Meter(report)
        self.patience.keep_trying(lambda: self._go_on(partial, meter), done=lambda: meter.most)

    def _go_on(self, partial: Path, meter: _Meter) -> None:
        have = partial.stat().st_size
        have = 0 if have > self.size else have
        meter.reach(have)
        if have == self.size:
            return
        with self._open(have, None) as response:
            have = 0 if response.status_code == 200 else have
            with partial.open("r+b") as file:
                file.truncate(have)
                file.seek(have)
                # Without a chunk size: with one, the client holds back bytes, which are lost when the connection is.
                for chunk in response.iter_bytes():
                    have += file.write(chunk)
                    meter.reach(have)
        if have != self.size:
            raise IncompleteAnswerError(f"{have} of {self.size} bytes came")


class _Meter:
    """Reports bytes as they come, none of them twice."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self.most = 0
        self._report = report

    def reach(self, count: int) -> None:
        if count > self.most:
            self._report(count - self.most)
            self.most = count
