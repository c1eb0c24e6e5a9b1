"""`hfspec serve` beside MLflow's server and beside predict in one process, interleaved on this machine.

python benchmarks/serving/bench.py ARTIFACT [--rounds 3] [--clients 32] [--requests 500]

Each round starts each server anew, sends the same mixed texts one a request from the same clients, and counts the
processor time of the server and all its children. Medians over the rounds are printed as a table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

TEXT = "a fine film that one may see twice and a dull one which nobody would like to see again at all"
TICK = os.sysconf("SC_CLK_TCK")


def texts(count: int) -> list[str]:
    draw = random.Random(7)
    return [" ".join(draw.choices(TEXT.split(), k=draw.choice([3, 8, 20, 60]))) for _ in range(count)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tree(pid: int) -> list[int]:
    """The process and all its children."""
    found = [pid]
    for child in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = child.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found += tree(int(child.parent.name))
    return found


def processor_seconds(pid: int) -> float:
    total = 0.0
    for each in tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / TICK
        except OSError:
            continue
    return total


async def ask(port: int, path: str, bodies: list[bytes], waits: list[float]) -> None:
    """One client: a connection that is kept, and one request after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: "
    while bodies:
        body = bodies.pop()
        begun = time.perf_counter()
        writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in answer.split(b"\r\n", 1)[0], answer
        length = next(
            int(line.split(b":")[1]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length")
        )
        await reader.readexactly(length)
        waits.append(time.perf_counter() - begun)
    writer.close()


async def load(port: int, path: str, bodies: list[bytes], clients: int) -> list[float]:
    waits: list[float] = []
    await asyncio.gather(*(ask(port, path, bodies, waits) for _ in range(clients)))
    return waits


def wait_until_ready(port: int, path: str, seconds: float = 180) -> None:
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
                probe.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
                if b" 200 " in probe.recv(100):
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"the server at {port} did not become ready")


def measured(
    command: list[str], port: int, ready: str, path: str, body, options: argparse.Namespace
) -> dict[str, float]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until_ready(port, ready)
        bodies = [json.dumps(body(text)).encode() for text in texts(options.requests)]
        asyncio.run(load(port, path, bodies[:64], options.clients))
        lone = asyncio.run(load(port, path, bodies[:50], 1))
        before, begun = processor_seconds(process.pid), time.perf_counter()
        waits = sorted(asyncio.run(load(port, path, list(bodies), options.clients)))
        took, spent = time.perf_counter() - begun, processor_seconds(process.pid) - before
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
    return {
        "requests/s": len(waits) / took,
        "p50 ms": 1000 * waits[len(waits) // 2],
        "p99 ms": 1000 * waits[int(len(waits) * 0.99)],
        "CPU ms": 1000 * spent / len(waits),
        "lone p50 ms": 1000 * statistics.median(lone),
    }


def in_process(artifact: str, options: argparse.Namespace) -> dict[str, float]:
    script = (
        "import json,sys,time,hfspec;from pathlib import Path\n"
        "p=hfspec.load(sys.argv[1]);t=json.loads(sys.stdin.read());p.predict(t[:64])\n"
        "w=[]\n"
        "for x in t[:50]:\n b=time.perf_counter();p.predict([x]);w.append(time.perf_counter()-b)\n"
        "b,c=time.perf_counter(),time.process_time();p.predict(t)\n"
        "print(json.dumps([len(t)/(time.perf_counter()-b),1000*(time.process_time()-c)/len(t),1000*sorted(w)[25]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, artifact],
        input=json.dumps(texts(options.requests)),
        text=True,
        capture_output=True,
        check=True,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )
    rate, spent, lone = json.loads(done.stdout.splitlines()[-1])
    return {"requests/s": rate, "CPU ms": spent, "lone p50 ms": lone}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifact")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=500)
    options = parser.parse_args()
    name = json.loads((Path(options.artifact) / "artifact.json").read_text())["name"]
    rounds: dict[str, list[dict[str, float]]] = {}
    for _ in range(options.rounds):
        port = free_port()
        ours = [sys.executable, "-m", "hfspec", "serve", options.artifact, "--port", str(port)]
        path = f"/models/{name}/predict"
        found = measured(ours, port, "/ready", path, lambda text: {"inputs": [text]}, options)
        rounds.setdefault("hfspec serve", []).append(found)
        port = free_port()
        theirs = [sys.executable, "-m", "mlflow", "models", "serve", "-m", options.artifact, "--env-manager", "local"]
        theirs += ["--port", str(port), "--host", "127.0.0.1", "--workers", "1"]
        found = measured(theirs, port, "/ping", "/invocations", lambda text: {"inputs": [text]}, options)
        rounds.setdefault("mlflow models serve", []).append(found)
        rounds.setdefault("predict of all in one process", []).append(in_process(options.artifact, options))
    names = ["requests/s", "p50 ms", "p99 ms", "CPU ms", "lone p50 ms"]
    print(f"| {options.clients} clients, one text a request | " + " | ".join(names) + " |")
    print("|---|" + "---|" * len(names))
    for server, found in rounds.items():
        cells = [statistics.median(each[name] for each in found) if name in found[0] else None for name in names]
        print(f"| {server} | " + " | ".join("" if cell is None else f"{cell:.1f}" for cell in cells) + " |")


if __name__ == "__main__":
    main()
