"""Programs in a network of their own, with loopback alone: Ray binds addresses beyond it."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

IS_ROOT = os.geteuid() == 0
PYTHON = os.environ.get("HFSPEC_RAY_PYTHON", "")  # one that has Ray beside hfspec
SCRIPT = 'ip link set lo up && exec "$@"'
# Ray is patient where the machine is busy, and reports to nobody.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_agent_register_timeout_ms": "120000",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_enable_metrics_collection": "0",
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}


def alone(*command: str) -> list[str]:
    """The command in a new network of its own."""
    return ["unshare", "-n", *(() if IS_ROOT else ("-r",)), "sh", "-c", SCRIPT, "sh", *command]


def beside(pid: int, *command: str) -> list[str]:
    """The command in the network of that process."""
    of_user = () if IS_ROOT else ("--user", "--preserve-credentials")
    return ["nsenter", f"--target={pid}", "--net", *of_user, *command]


def processes_beside(pid: int, text: str) -> list[int]:
    """The processes in the network of that process whose command line has this text."""
    found: list[int] = []
    try:
        network = Path(f"/proc/{pid}/ns/net").readlink()
    except OSError:
        return found
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if text.encode() in (folder / "cmdline").read_bytes() and (folder / "ns/net").readlink() == network:
                found.append(int(folder.name))
    return found


def environment() -> dict[str, str]:
    """For Ray's processes. Its workers else have nice 15, and hardly run while other tests do."""
    return {**os.environ, **ENVIRONMENT, "RAY_worker_niceness": "0"}


@cache
def _missing(module: str) -> str:
    if not PYTHON:
        return "HFSPEC_RAY_PYTHON names no Python with Ray"
    for tool in ("unshare", "nsenter", "ip"):
        if shutil.which(tool) is None:
            return f"there is no {tool}, which makes a network of Ray's own"
    if subprocess.run(alone("true"), capture_output=True, timeout=60, check=False).returncode:
        return "no network of Ray's own can be made here"
    found = subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True, timeout=120, check=False)
    return f"{module} is not installed" if found.returncode else ""


def needs(module: str) -> None:
    """Skip where Ray cannot run: without this module of it, or without a network of its own."""
    if reason := _missing(module):
        pytest.skip(reason)
