"""A real server process for the tests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import requests

STARTS = 240  # seconds that a server may take to be ready
READY = re.compile(r"ready at (\S+)(?: and grpc://(\S+))?")


class Served:
    """``hfspec serve`` with these arguments, on a free port of this machine alone. To be used with ``with``."""

    def __init__(
        self,
        *arguments: object,
        overrides: Sequence[str] = (),
        wait: bool = True,
        python: Sequence[str] = (sys.executable,),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.lines: list[str] = []
        self.url = self.grpc = ""
        self.artifacts: dict[str, Path] = {}
        port = [] if any("unix_socket" in str(override) for override in overrides) else ["--port", "0"]
        command = [*python, "-m", "hfspec", "serve", *map(str, arguments), *overrides, *port]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**(environment or os.environ), "OMP_NUM_THREADS": "1"}
        )
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if wait:
            self.wait_until_ready()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join(10)

    def wait_until_ready(self) -> None:
        if not self._ready.wait(STARTS) or not self.url:
            self.process.kill()
            raise AssertionError("the server did not start:\n" + "\n".join(self.lines))

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=60, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return requests.post(self.url + path, json=body, timeout=60, **options)

    def meter(self, name: str) -> float:
        """The sum of a meter over its labels."""
        found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return sum(map(float, found))

    def replicas(self) -> list[int]:
        """The process ids of the replicas."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        named = [(int(pid), Path(f"/proc/{pid}/cmdline").read_bytes()) for pid in children.split()]
        return [pid for pid, command in named if b"hfspec.serving.replica" in command]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, seconds: float = 60) -> int:
        """Tell it to stop; its exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def stand_still(self, pid: int) -> None:
        """Stop a process of the server, as a load that takes long would."""
        os.kill(pid, signal.SIGSTOP)

    def said(self, text: str, seconds: float = 60) -> bool:
        """Whether it writes a line with the text in time."""
        last = time.monotonic() + seconds
        while time.monotonic() < last:
            if any(text in line for line in list(self.lines)):
                return True
            time.sleep(0.05)
        return False

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            if match := READY.search(line):
                self.url, self.grpc = match.group(1), match.group(2) or ""
                self._ready.set()
        self._ready.set()


def eventually(holds: Any, seconds: float = 60) -> bool:
    """Whether it comes to hold in time."""
    last = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > last:
            return False
        time.sleep(0.05)
    return True
