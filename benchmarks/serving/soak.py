"""A server under mixed requests for a long time, with replicas that are killed.

    python -m benchmarks.serving.soak ARTIFACT [--seconds 1800] [--clients 16] [--kills 2]

ARTIFACT takes texts. Clients send valid, invalid, oversized, slow and abandoned requests. Every answer is compared
with predict's; a request that has neither its answer nor a refusal with a status that its kind may have is lost. Where
all processes were stopped for a while, as on a shared machine, the requests at hand are counted apart. Exits with 1
where an answer was wrong, a request lost, a replica not replaced, or memory not flat within 5 %.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import re
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.serving import processes
from benchmarks.serving.client import HEAD_END, LENGTH, request

ROWS, BODY, SLOW = 32, 64 << 10, 2.0  # limits of the server: rows, bytes, seconds of a slow client
PATIENCE = 120.0  # seconds for which a client waits for an answer
TICK, STOPPED = 0.5, 5.0  # seconds between two looks at the clock, and after which everything must have been stopped
SETTLED = 0.4  # of the time, when memory is looked at: caches are full then, and killed replicas replaced
REFUSED = frozenset({429, 503})  # what any request may be answered with
INVALID = (
    b"{",
    b"[]",
    b"{}",
    b'{"inputs": ["a"], "output": 1}',
    b'{"inputs": [{"no column": 1}]}',
    b'{"inputs": ["a"], "params": {"no param": 1}}',
    b'{"inputs": ["a"], "params": []}',
    b'{"inputs": ["a", [1, 2]]}',
    b"\xff\xfe",
)


@dataclass(frozen=True)
class Fault:
    """A wrong or a lost answer, and from when to when it was waited for."""

    began: float
    ended: float
    text: str


BEGAN: ContextVar[float] = ContextVar("began")


@dataclass
class Found:
    """``statuses``: how many requests of each kind had each status; ``memory``: bytes at each look, of the HTTP process
    and of its replicas together; ``stops``: from when to when everything was stopped; ``stopped``: the wrong and lost
    requests of these times.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[Fault] = field(default_factory=list)
    lost: list[Fault] = field(default_factory=list)
    stops: list[tuple[float, float]] = field(default_factory=list)
    stopped: list[Fault] = field(default_factory=list)
    memory: list[tuple[int, int]] = field(default_factory=list)
    killed: int = 0
    restarts: int = 0

    @property
    def growth(self) -> float:
        """The share by which memory grew, once it had settled."""
        settled = [sum(look) for look in self.memory[int(len(self.memory) * SETTLED) :]]
        part = max(1, len(settled) // 3)
        return statistics.median(settled[-part:]) / statistics.median(settled[:part]) - 1

    def set_apart(self) -> None:
        """Take the requests at which everything was stopped out of the wrong and the lost ones."""
        for faults in (self.wrong, self.lost):
            apart = [
                fault
                for fault in faults
                if any(fault.began < last and first < fault.ended for first, last in self.stops)
            ]
            self.stopped += apart
            faults[:] = [fault for fault in faults if fault not in apart]

    def curve(self) -> list[str]:
        """The memory at each tenth of the time, in MB: the HTTP process and its replicas."""
        looks = [self.memory[len(self.memory) * tenth // 10] for tenth in range(10)] + self.memory[-1:]
        return [f"{front / 1e6:.1f} + {replicas / 1e6:.1f}" for front, replicas in looks]


class Soak:
    """Clients of one server. ``expected``: text -> the answer to it."""

    def __init__(self, port: int, path: str, expected: Mapping[str, Any], last: float) -> None:
        self.found = Found()
        self._port, self._path, self._expected, self._last = port, path, expected, last
        self._texts = list(expected)

    async def client(self, draw: random.Random) -> None:
        """Requests of all kinds, one after the other, until the time is over."""
        kinds = (self._valid, self._lines, self._invalid, self._oversized, self._slow, self._abandoned, self._late)
        while time.monotonic() < self._last:
            (kind,) = draw.choices(kinds, weights=(60, 10, 10, 6, 4, 6, 4))
            name = kind.__name__.strip("_")
            BEGAN.set(time.monotonic())
            try:
                await asyncio.wait_for(kind(draw, name), PATIENCE)
            except (OSError, EOFError, TimeoutError) as error:
                self._note(self.found.lost, f"{name}: {type(error).__name__} {error}")

    async def _valid(self, draw: random.Random, name: str) -> None:
        texts = draw.sample(self._texts, draw.choice((1, 1, 1, 4, 16)))
        status, body = await self._ask(json.dumps({"inputs": texts}).encode())
        if self._count(name, status, {200}) == 200:
            self._compare(name, texts, json.loads(body)["predictions"])

    async def _lines(self, draw: random.Random, name: str) -> None:
        texts = draw.sample(self._texts, 8)
        body = b"\n".join(json.dumps(text).encode() for text in texts)
        status, content = await self._ask(body, kind="application/jsonl", closes=True)
        if self._count(name, status, {200}) != 200:
            return
        lines = [json.loads(line) for line in _unchunked(content).splitlines()]
        errors = [line["error"]["kind"] for line in lines if "error" in line]
        if errors == ["UnavailableError"]:  # a replica that was killed while the lines came
            self.found.statuses[f"{name}: ended by an error"] += 1
            texts, lines = texts[: len(lines) - 1], lines[:-1]
        self._compare(name, texts, [line.get("answer", line) for line in lines])

    async def _invalid(self, draw: random.Random, name: str) -> None:
        status, body = await self._ask(draw.choice(INVALID))
        if self._count(name, status, {400}) == 400 and b'"request_id"' not in body:
            self._note(self.found.wrong, f"{name}: {body[:200]!r}")

    async def _oversized(self, draw: random.Random, name: str) -> None:
        many = [self._texts[0]] * (ROWS + 1) if draw.random() < 0.5 else ["a" * BODY]
        status, _ = await self._ask(json.dumps({"inputs": many}).encode())
        self._count(name, status, {413})

    async def _slow(self, draw: random.Random, name: str) -> None:
        text = draw.choice(self._texts)
        gives_up = draw.random() < 0.3
        sent = request(self._path, json.dumps({"inputs": [text]}).encode())
        half = len(sent) - 5
        status, body = await self._parts((sent[:half], sent[half:]), SLOW * 2 if gives_up else SLOW / 4)
        if self._count(name, status, {408} if gives_up else {200}) == 200:
            self._compare(name, [text], json.loads(body)["predictions"])

    async def _abandoned(self, draw: random.Random, name: str) -> None:
        texts = draw.sample(self._texts, 16)
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(request(self._path, json.dumps({"inputs": texts}).encode()))
        await writer.drain()
        await asyncio.sleep(draw.random() / 20)
        writer.close()
        self.found.statuses[f"{name}: left"] += 1

    async def _late(self, draw: random.Random, name: str) -> None:
        texts = draw.sample(self._texts, 16)
        status, body = await self._ask(json.dumps({"inputs": texts}).encode(), more="x-request-timeout: 0.01\r\n")
        if self._count(name, status, {200, 504}) == 200:
            self._compare(name, texts, json.loads(body)["predictions"])

    def _count(self, name: str, status: int, statuses: set[int]) -> int:
        self.found.statuses[f"{name}: {status}"] += 1
        if status not in statuses | REFUSED:
            self._note(self.found.lost, f"{name}: {status}")
        return status

    def _compare(self, name: str, texts: list[str], answers: list[Any]) -> None:
        if len(texts) != len(answers):
            self._note(self.found.lost, f"{name}: {len(answers)} answers to {len(texts)} rows")
        for text, answer in zip(texts, answers, strict=False):
            if not alike(answer, self._expected[text]):
                self._note(self.found.wrong, f"{name}: {text!r}: {str(answer)[:200]}")

    @staticmethod
    def _note(faults: list[Fault], text: str) -> None:
        faults.append(Fault(BEGAN.get(), time.monotonic(), text))

    async def _ask(
        self, body: bytes, *, kind: str = "application/json", more: str = "", closes: bool = False
    ) -> tuple[int, bytes]:
        sent = request(self._path, body, closes=closes)
        head, end, rest = sent.partition(b"\r\n")
        sent = head + end + more.encode() + rest
        return await self._parts((sent.replace(b"application/json", kind.encode(), 1),), 0)

    async def _parts(self, parts: tuple[bytes, ...], pause: float) -> tuple[int, bytes]:
        """The status and the body that a request is answered with, which is sent in parts."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            for number, part in enumerate(parts):
                if number:
                    await asyncio.sleep(pause)
                writer.write(part)
            head = await reader.readuntil(HEAD_END)
            length = LENGTH.search(head)
            body = await (reader.read() if length is None else reader.readexactly(int(length[1])))
            return int(head.split(b" ", 2)[1]), body
        finally:
            writer.close()


def alike(answer: Any, expected: Any) -> bool:
    """Whether an answer is the wanted one to the rounding of float32."""
    if isinstance(expected, Mapping):
        return isinstance(answer, Mapping) and answer.keys() == expected.keys() and all(
            alike(answer[key], value) for key, value in expected.items()
        )  # fmt: skip
    if isinstance(expected, list | tuple):
        return isinstance(answer, list) and len(answer) == len(expected) and all(map(alike, answer, expected))
    if isinstance(expected, float):
        return isinstance(answer, float | int) and math.isclose(answer, expected, rel_tol=1e-3, abs_tol=1e-4)
    return bool(answer == expected)


def run(artifact: Path, seconds: float, *, clients: int = 16, kills: int = 2, replicas: int = 2) -> Found:
    """The outcome of a server under this load."""
    import hfspec

    texts = [f"{word} film that one may see {'again and ' * number}again" for number in range(12) for word in WORDS]
    predictor = hfspec.load(artifact)
    expected = {text: predictor.predict_json([text])[0] for text in texts}
    with tempfile.TemporaryDirectory() as folder:
        port = processes.free_port()
        fleet = Path(folder, "fleet.yaml")
        fleet.write_text(json.dumps(_fleet(artifact, port, replicas)), encoding="utf-8")
        command = [sys.executable, "-m", "hfspec", "serve", str(fleet)]
        with processes.running(command, port, "/ready", Path(folder, "log"), {"OMP_NUM_THREADS": "1"}) as pid:
            soak = Soak(port, "/models/soaked/predict", expected, time.monotonic() + seconds)
            asyncio.run(_load(soak, pid, seconds, clients, kills))
    return soak.found


WORDS = ("a fine", "a dull", "no", "the best", "an odd")


def _fleet(artifact: Path, port: int, replicas: int) -> dict[str, Any]:
    limits = {"rows": ROWS, "queue_rows": 512, "timeout": 60}
    model = {"artifact": str(artifact), "replicas": replicas, "threads": 1, "limits": limits}
    return {
        "models": {"soaked": model},
        "server": {"port": port, "limits": {"body": BODY, "slow_client_seconds": SLOW}},
    }


async def _load(soak: Soak, pid: int, seconds: float, clients: int, kills: int) -> None:
    watching = asyncio.create_task(_watch(soak.found, pid, seconds, kills))
    ticking = asyncio.create_task(_tick(soak.found))
    draws = [random.Random(number) for number in range(clients)]
    await asyncio.gather(watching, *(soak.client(draw) for draw in draws))
    ticking.cancel()
    soak.found.set_apart()
    port = soak._port  # noqa: SLF001 - the same module
    soak.found.restarts = await _restarts(port)


async def _watch(figures: Found, pid: int, seconds: float, kills: int) -> None:
    """Look at the memory, and kill replicas in the first third of the time."""
    start = time.monotonic()
    while (spent := (time.monotonic() - start) / seconds) < 1:
        if figures.killed < kills and spent > (figures.killed + 1) / (3 * kills + 3):
            os.kill(_replicas(pid)[0], signal.SIGKILL)
            figures.killed += 1
        figures.memory.append((_resident(pid), sum(map(_resident, _replicas(pid)))))
        await asyncio.sleep(seconds / 200)


async def _tick(found: Found) -> None:
    """Note when everything was stopped."""
    before = time.monotonic()
    while True:
        await asyncio.sleep(TICK)
        now = time.monotonic()
        if now - before > STOPPED:
            found.stops.append((before, now))
        before = now


def _replicas(pid: int) -> list[int]:
    commands = [(each, Path(f"/proc/{each}/cmdline")) for each in processes.tree(pid)[1:]]
    return [each for each, place in commands if place.is_file() and b"hfspec.serving.replica" in place.read_bytes()]


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


async def _restarts(port: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return sum(int(float(value)) for value in re.findall(rb"^hfspec_restarts_total\S* (\S+)$", answer, re.MULTILINE))


def _unchunked(body: bytes) -> bytes:
    """The content of a body in chunks."""
    content = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        content, body = content + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return content


def _texts(faults: list[Fault]) -> list[str]:
    return [fault.text for fault in faults[:20]]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--kills", type=int, default=2)
    options = parser.parse_args(arguments)
    figures = run(options.artifact, options.seconds, clients=options.clients, kills=options.kills)
    print(json.dumps(dict(sorted(figures.statuses.items())), indent=1))
    requests = sum(figures.statuses.values())
    print(f"{requests} requests, {figures.killed} replicas killed, {figures.restarts} started again")
    print(
        f"{len(figures.wrong)} wrong answers {_texts(figures.wrong)}, {len(figures.lost)} lost {_texts(figures.lost)}"
    )
    seconds = sum(last - first for first, last in figures.stops)
    print(f"{len(figures.stops)} times stopped, {seconds:.0f} s in all; {len(figures.stopped)} requests at that time")
    print(f"memory in MB, at each tenth of the time: {', '.join(figures.curve())}; growth {100 * figures.growth:.1f} %")
    return int(bool(figures.wrong or figures.lost or figures.restarts != figures.killed or figures.growth > 0.05))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
