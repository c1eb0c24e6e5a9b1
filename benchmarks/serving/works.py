"""The measurements of servers, and what is to be reached."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import material
from benchmarks.rounds import Figures, Rounds, Target, Work, above, ratio
from benchmarks.serving import contenders, environments, processes
from benchmarks.serving.client import ask_at_random, ask_in_turn, request
from benchmarks.serving.contenders import Server

DIRECT = "`predict` of all in one process"
CLIENTS, PROMPTING = 32, 16
BATCH = 16  # texts of a request that has several
TOKENS, PAUSE = 16, 0.5  # of an answer; mean seconds between two requests of a client
ALONE, WARMS_UP = 100, 64  # requests
ONE = {"OMP_NUM_THREADS": str(contenders.THREADS), "OMP_WAIT_POLICY": "PASSIVE"}
LOGS = environments.CACHE / "logs"


@dataclass(frozen=True)
class Options:
    """``artifact``: MiniLM's; ``generator``: of a small GPT-2 with a chat template; ``checkpoint``: its checkpoint."""

    artifact: Path
    generator: Path
    checkpoint: Path
    requests: int


def embeddings(options: Options) -> Work:
    """Single texts from many clients, and from one; one thread a model."""
    title = f"{CLIENTS} clients, one of {options.requests} mixed texts a request (all-MiniLM-L6-v2)"
    return _singly(options, title, contenders.THREADS, ONE)


def as_they_come(options: Options) -> Work:
    """The same, with the threads that each server takes by itself."""
    title = f"The same {CLIENTS} clients, each server with the threads that it takes by itself"
    return _singly(options, title, None, {})


def _singly(options: Options, title: str, threads: int | None, environment: Mapping[str, str]) -> Work:
    texts = material.texts(options.requests)
    servers = contenders.embedders(options.artifact, material.minilm(), threads=threads)
    measures = {server.name: _embeds(server, texts, 1, environment) for server in servers}
    measures[DIRECT] = lambda: _direct(options.artifact, texts, environment)
    ours, mlflow, *around, own = [server.name for server in servers]
    rate, last = "requests/s", "p99 ms"
    targets = [Target(f"requests/s against {name}", 4, ratio(ours, name, rate)) for name in (mlflow, own)]
    targets += [Target(f"requests/s against {name}", 2, ratio(ours, name, rate)) for name in around]
    targets += [Target(f"p99 against {name}", 1, ratio(ours, name, last), most=True) for name in (mlflow, *around, own)]
    lone = above(ours, DIRECT, "lone p50 ms")
    targets += [
        *_beside_predict(ours, rate),
        Target("a lone client's median above that of `predict`", 3, lone, most=True, unit="ms"),
    ]
    return Work(title, measures, targets)


def batches(options: Options) -> Work:
    """Many texts a request."""
    texts = material.texts(2 * options.requests)
    servers = [contenders.hfspec(options.artifact), contenders.mlflow(options.artifact)]
    measures = {server.name: _embeds(server, texts, BATCH, ONE) for server in servers}
    measures[DIRECT] = lambda: _direct(options.artifact, texts, ONE)
    ours, _ = [server.name for server in servers]
    title = f"{CLIENTS} clients, {BATCH} of {len(texts)} mixed texts a request (all-MiniLM-L6-v2)"
    return Work(title, measures, _beside_predict(ours, "texts/s"))


def http(options: Options) -> Work:
    """HTTP without a model."""
    body = [" ".join(["word"] * 36)]
    around = {**ONE, "ARTIFACT": str(options.artifact), "PYTHONPATH": str(Path(__file__).parents[2])}
    servers = contenders.nothing(options.artifact)
    count = 40 * options.requests
    requests = [request(server.path, server.bytes_of(body)) for server in servers]
    measures = {
        server.name: lambda server=server, one=one: _http(server, [one] * count, around)
        for server, one in zip(servers, requests, strict=True)
    }
    bare, ours, _ = measures
    reach = 6000 / 20_000
    return Work(
        f"HTTP alone: {CLIENTS} clients, a POST of {len(servers[0].bytes_of(body))} bytes, one process",
        measures,
        [Target("requests/s against bare starlette", reach, ratio(ours, bare, "requests/s"))],
    )


def generation(options: Options) -> Work:
    """Chat and completions, from clients that arrive at random."""
    servers = contenders.generators(options.generator, options.checkpoint, TOKENS)
    prompts = material.texts(2 * PROMPTING, most=60, least=5, seed=11)
    measures = {}
    for server in servers:
        measures[server.name] = _generates(server, prompts, PROMPTING)
    chat, completions, mlflow, transformers = [server.name for server in servers]
    for server in servers[2:]:
        quarter = PROMPTING // 4
        measures[f"{server.name}, {quarter} clients"] = _generates(server, prompts[: len(prompts) // 4], quarter)
    first, rate = "first token p95 ms", "tokens/s"
    slow = [(completions, f"{mlflow}, {PROMPTING // 4} clients"), (chat, f"{transformers}, {PROMPTING // 4} clients")]
    return Work(
        f"{PROMPTING} clients that arrive at random, {TOKENS} new tokens (the shape of GPT-2 small)",
        measures,
        [
            Target(f"tokens/s of completions against {mlflow}", 3, ratio(completions, mlflow, rate)),
            Target(f"tokens/s of chats against {transformers}", 3, ratio(chat, transformers, rate)),
            *(Target(f"first token p95 against {name}", 1, ratio(mine, name, first), most=True) for mine, name in slow),
        ],
    )


WORKS: dict[str, Callable[[Options], Work]] = {
    "http": http,
    "embeddings": embeddings,
    "as-they-come": as_they_come,
    "batches": batches,
    "generation": generation,
}


def _beside_predict(ours: str, rate: str) -> list[Target]:
    def texts(rounds: Rounds) -> float | None:
        return statistics.median(
            mine[rate] / direct["texts/s"] for mine, direct in zip(rounds[ours], rounds[DIRECT], strict=False)
        )

    return [
        Target("texts/s against `predict` of all in one process", 0.85, texts),
        Target(
            "CPU time of a text against `predict` of all in one process",
            1.25,
            ratio(ours, DIRECT, "CPU ms a text"),
            most=True,
        ),
    ]


def _embeds(server: Server, texts: Sequence[str], size: int, environment: Mapping[str, str]) -> Callable[[], Figures]:
    groups = [list(texts[first : first + size]) for first in range(0, len(texts), size)]
    requests = [request(server.path, server.bytes_of(group)) for group in groups]

    def measure() -> Figures:
        with _running(server, environment) as (pid, port):
            _run(ask_in_turn(port, requests[:WARMS_UP], CLIENTS))
            lone = _run(ask_in_turn(port, requests[:ALONE], 1)) if size == 1 else []
            before, start = processes.processor_seconds(pid), time.perf_counter()
            waits = _run(ask_in_turn(port, requests, CLIENTS))
            took, spent = time.perf_counter() - start, processes.processor_seconds(pid) - before
        figures = {
            **_rates(waits, took, spent),
            "CPU ms a text": 1000 * spent / len(texts),
            "texts/s": len(texts) / took,
        }
        return {**figures, "lone p50 ms": 1000 * statistics.median(lone)} if lone else figures

    return measure


def _http(server: Server, requests: Sequence[bytes], around: Mapping[str, str]) -> Figures:
    with _running(server, around) as (pid, port):
        _run(ask_in_turn(port, requests[:1000], CLIENTS))
        before, start = processes.processor_seconds(pid), time.perf_counter()
        waits = _run(ask_in_turn(port, requests, CLIENTS))
        took, spent = time.perf_counter() - start, processes.processor_seconds(pid) - before
    return _rates(waits, took, spent)


def _generates(server: Server, prompts: Sequence[str], clients: int) -> Callable[[], Figures]:
    requests = [request(server.path, server.bytes_of([prompt]), closes=True) for prompt in prompts]

    def measure() -> Figures:
        with _running(server, ONE) as (pid, port):
            _run(ask_at_random(port, requests[:2], 2, tokens=TOKENS, pause=0.01))
            before = processes.processor_seconds(pid)
            answers = _run(ask_at_random(port, requests, clients, tokens=TOKENS, pause=PAUSE))
            spent = processes.processor_seconds(pid) - before
        took = max(one.ended for one in answers) - min(one.begun for one in answers)
        tokens = sum(one.tokens for one in answers)
        firsts = sorted(one.first for one in answers)
        return {
            "tokens/s": tokens / took,
            "first token p50 ms": 1000 * _at(firsts, 0.5),
            "first token p95 ms": 1000 * _at(firsts, 0.95),
            "p95 ms": 1000 * _at(sorted(one.ended - one.begun for one in answers), 0.95),
            "CPU ms a token": 1000 * spent / tokens,
        }

    return measure


def _rates(waits: Sequence[float], took: float, spent: float) -> Figures:
    ordered = sorted(waits)
    figures = {f"p{share} ms": 1000 * _at(ordered, share / 100) for share in (50, 95, 99)}
    return {"requests/s": len(waits) / took, **figures, "CPU ms": 1000 * spent / len(waits)}


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _direct(artifact: Path, texts: Sequence[str], environment: Mapping[str, str]) -> Figures:
    command = [sys.executable, "-m", "benchmarks.serving.programs.in_process", str(artifact)]
    process = subprocess.run(
        command,
        input=json.dumps(list(texts)),
        text=True,
        capture_output=True,
        check=True,
        env={**os.environ, **environment},
    )
    figures = json.loads(process.stdout.splitlines()[-1])
    return {
        "texts/s": figures["texts/s"],
        "CPU ms a text": figures["CPU ms"],
        "lone p50 ms": statistics.median(figures["alone"]),
    }


def _running(server: Server, environment: Mapping[str, str]) -> Any:
    """The server's process id and port, while it runs."""
    from contextlib import contextmanager

    @contextmanager
    def started() -> Any:
        LOGS.mkdir(parents=True, exist_ok=True)
        port = processes.free_port()
        command = [str(port) if word == "PORT" else word for word in server.command()]
        log = LOGS / f"{''.join(filter(str.isalnum, server.name))}.log"
        with processes.running(command, port, server.ready, log, {**environment, **server.environment}) as pid:
            yield pid, port

    return started()


def _run(work: Any) -> Any:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
