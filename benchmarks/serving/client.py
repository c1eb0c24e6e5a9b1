"""Clients over HTTP that cost little: they run beside the server that is measured."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

HEAD_END = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
FIRST_TOKEN = re.compile(rb'"(?:content|text)": ?"[^"]')
COMPLETION_TOKENS = re.compile(rb'"completion_tokens": ?(\d+)')


def request(path: str, body: bytes, *, closes: bool = False) -> bytes:
    """The bytes of a POST of JSON."""
    lines = [f"POST {path} HTTP/1.1", "host: x", "content-type: application/json", f"content-length: {len(body)}"]
    lines += ["connection: close"] if closes else []
    return "\r\n".join(lines).encode() + HEAD_END + body


class _Client(asyncio.Protocol):
    """One connection, which is kept, and one request after the other."""

    def __init__(self, pending: Iterator[bytes], waits: list[float]) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._pending, self._waits = pending, waits
        self._held, self._wanted, self._begun = b"", 0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._held += data
        if not self._wanted:
            head, end, _ = self._held.partition(HEAD_END)
            if not end:
                return
            length = LENGTH.search(head)
            if b" 200 " not in head[:16] or length is None:
                self._fail(f"an answer that is not as it should be: {self._held[:500]!r}")
                return
            self._wanted = len(head) + len(HEAD_END) + int(length[1])
        if len(self._held) >= self._wanted:
            self._waits.append(time.perf_counter() - self._begun)
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the server closed the connection: {exc}")

    def _next(self) -> None:
        message = next(self._pending, None)
        if message is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._held, self._wanted, self._begun = b"", 0, time.perf_counter()
        self._transport.write(message)

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(why))
            self._transport.close()


async def ask_in_turn(port: int, requests: Sequence[bytes], clients: int) -> list[float]:
    """Seconds of each request, where each client sends the next that is left once it has its answer."""
    loop, waits, pending = asyncio.get_running_loop(), [], iter(requests)
    connections = [
        await loop.create_connection(lambda: _Client(pending, waits), "127.0.0.1", port) for _ in range(clients)
    ]
    await asyncio.gather(*(client.done for _, client in connections))
    return waits


@dataclass(frozen=True)
class Generated:
    """An answer that was generated: ``first``: seconds until the first token was there; ``tokens``: how many came."""

    begun: float
    first: float
    ended: float
    tokens: int


async def ask_at_random(
    port: int, requests: Sequence[bytes], clients: int, *, tokens: int, pause: float, seed: int = 7
) -> list[Generated]:
    """The outcome of each request, where each client waits for a random time before each of its own.

    ``tokens``: how many an answer has that does not say so; ``pause``: the mean of the waits, in seconds.
    """
    draw, pending = random.Random(seed), iter(requests)

    async def client(waits: random.Random) -> list[Generated]:
        answers = []
        for message in pending:
            await asyncio.sleep(waits.expovariate(1 / pause))
            answers.append(await _generated(port, message, tokens))
        return answers

    groups = await asyncio.gather(*(client(random.Random(draw.random())) for _ in range(clients)))
    return [each for answers in groups for each in answers]


async def _generated(port: int, message: bytes, tokens: int) -> Generated:
    start, first, answer = time.perf_counter(), 0.0, b""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(message)
    while data := await reader.read(1 << 16):
        answer += data
        if not first and FIRST_TOKEN.search(answer):
            first = time.perf_counter()
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"an answer that is not as it should be: {answer[:500]!r}")
    writer.close()
    counts = COMPLETION_TOKENS.findall(answer)
    ended = time.perf_counter()
    return Generated(start, (first or ended) - start, ended, int(counts[-1]) if counts else tokens)
