"""A Ray cluster of several nodes, in a network of its own, for the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import suppress
from typing import Any, Self

import pytest

from tests import own_network

LONG = 240  # seconds: a new actor imports what it needs, where others do too


class Cluster:
    """The cluster's process, and where the cluster is. To be used with ``with``."""

    def __init__(self, nodes: int, cores: int) -> None:
        command = own_network.alone(own_network.PYTHON, "-m", "tests.ray_nodes", str(nodes), str(cores))
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, env=own_network.environment(), text=True, **pipes)
        self.address = self._line()

    def __enter__(self) -> Self:
        if not self.address:
            self.__exit__()
            pytest.fail("the cluster did not start")
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        all_of_it = self.processes("ray")
        self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        for pid in [*all_of_it, self.process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(30)

    def do(self, what: str) -> None:
        """``kill`` the newest node, have it ``leave``, or ``add`` one."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        assert self._line() == "done"

    def python(self, *arguments: str) -> list[str]:
        """A command of the Python that has Ray, in the cluster's network."""
        return own_network.beside(self.process.pid, own_network.PYTHON, *arguments)

    def processes(self, text: str) -> list[int]:
        """The processes on all nodes whose command line has this text."""
        return own_network.processes_beside(self.process.pid, text)

    def _line(self) -> str:
        assert self.process.stdout is not None
        timer = threading.Timer(240, self.process.kill)
        timer.start()
        try:
            return self.process.stdout.readline().strip()
        finally:
            timer.cancel()
