"""A server as a process with children: its start, its processor time, its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TICK = os.sysconf("SC_CLK_TCK")
STARTS = 180  # seconds
ENDS = 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: Sequence[str], port: int, ready: str, log: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """The server's process id, once ``ready`` is answered; raises RuntimeError."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, start_new_session=True, env={**os.environ, **environment}
        )
    try:
        _wait(process, port, ready, log)
        yield process.pid
    finally:
        end(process)


def processor_seconds(pid: int) -> float:
    """Processor seconds of the process and all its children."""
    return sum(processor_times(pid).values())


def processor_times(pid: int) -> dict[int, float]:
    """Processor seconds of each: the process, its children, and theirs."""
    return {each: sum(map(int, fields[11:13])) / TICK for each in tree(pid) if (fields := _stat(each))}


def tree(pid: int) -> list[int]:
    """The process and all its children, and theirs."""
    parents = {
        int(place.name): int(fields[1]) for place in Path("/proc").glob("[0-9]*") if (fields := _stat(place.name))
    }
    pids = [pid]
    for each in pids:
        pids += [child for child, parent in parents.items() if parent == each]
    return pids


def _stat(pid: int | str) -> list[str]:
    """The fields after the name; none for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()
    except OSError:
        return []


def _wait(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    last = time.monotonic() + STARTS
    request = f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode()
    while time.monotonic() < last and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
                probe.sendall(request)
                if b" 200 " in probe.recv(100):
                    return
        except OSError:
            pass
        time.sleep(0.2)
    text = log.read_text(encoding="utf-8", errors="replace").strip()[-800:]
    raise RuntimeError(f"{' '.join(process.args[:6])} did not start:\n{text}")


def end(process: subprocess.Popen[Any]) -> None:
    """End the process and all that it started."""
    children = tree(process.pid)
    process.terminate()
    try:
        process.wait(ENDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children[1:]:  # those that have not ended with it
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            continue
