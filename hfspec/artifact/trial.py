"""The emitted predictor, run on the artifact's own examples in one process of its own."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hfspec.artifact.texts import PREDICTOR
from hfspec.ir.golden import Fault

LONGEST_MESSAGE = 2000
PATIENCE = 300  # seconds


def trial(folder: Path, sources: Mapping[str, Path], *, golden: bool) -> tuple[Fault, ...] | str:
    """Every example of the artifact in ``folder`` that its predictor fails, ``golden``: of the golden ones too; or, as
    a text, why the predictor does not run at all. ``sources``: role -> folder, for weights that the artifact refers to.

    The predictor itself holds each answer against the signature, and fails when it does not fit.
    """
    given = [f"--source={role}={found.absolute()}" for role, found in sorted(sources.items())]
    done = _checked(folder, "golden" if golden else "example", given)
    if done.stdout:
        return _faults(done.stdout)
    said = done.stderr.decode("utf-8", errors="replace").strip().replace(f"{folder.absolute()}{os.sep}", "")
    return said[-LONGEST_MESSAGE:] or f"it ended with exit code {done.returncode}"


def probe_fault(folder: Path, memory: int) -> str:
    """Why the artifact in ``folder``, which has no examples, answers no plain input of its task; empty where it does,
    and where it cannot be tried here. ``memory``: how many bytes the loaded weights take.
    """
    if memory > _available():
        return ""
    try:
        done = _checked(folder, "probe", (), PATIENCE)
    except subprocess.TimeoutExpired:
        return ""
    return "; ".join(fault.reason for fault in _faults(done.stdout or b"[]"))


def _checked(
    folder: Path, check: str, options: Sequence[str], timeout: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    place = folder.absolute()
    environment = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    return subprocess.run(
        [sys.executable, str(place / PREDICTOR), "--check", check, "--no-verify", *options],
        cwd=place.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=timeout,
    )


def _faults(said: bytes) -> tuple[Fault, ...]:
    return tuple(Fault.from_json(fault) for fault in json.loads(said))


def _available() -> float:
    """Bytes of memory that a process may still take without swapping; infinite where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return math.inf
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), math.inf)
