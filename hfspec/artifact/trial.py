"""The emitted predictor, run on the artifact's own examples in one process of its own."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hfspec.artifact.texts import PREDICTOR
from hfspec.ir.golden import Fault

LONGEST_MESSAGE = 2000
PATIENCE = 300  # seconds
LINES = 2  # of JSON: which backend answers, and what fails


class Trial(NamedTuple):
    """The outcome of a run of the predictor."""

    faults: tuple[Fault, ...] = ()
    """Every example that it fails."""
    refusal: str = ""
    """Why it does not run at all."""
    note: str = ""
    """Which backend answered, and which one answers elsewhere, as a sentence."""


def trial(folder: Path, sources: Mapping[str, Path], *, golden: bool) -> Trial:
    """Run the artifact in ``folder`` on its examples, ``golden``: on the golden ones too. ``sources``: role -> folder,
    for weights that the artifact refers to.

    The predictor itself holds each answer against the signature, and fails when it does not fit.
    """
    arguments = [f"--source={role}={path.absolute()}" for role, path in sorted(sources.items())]
    process = _checked(folder, "golden" if golden else "example", arguments)
    account = _read(process.stdout)
    if account is not None:
        return account
    message = process.stderr.decode("utf-8", errors="replace").strip().replace(f"{folder.absolute()}{os.sep}", "")
    return Trial(refusal=message[-LONGEST_MESSAGE:] or f"it ended with exit code {process.returncode}")


def probe(folder: Path, memory: int) -> Trial:
    """Run the artifact in ``folder``, which has no examples, on a plain input of its task; nothing is found where it
    cannot be tried here. ``memory``: how many bytes the loaded weights take.
    """
    if memory > _available():
        return Trial()
    try:
        process = _checked(folder, "probe", (), PATIENCE)
    except subprocess.TimeoutExpired:
        return Trial()
    return _read(process.stdout) or Trial()


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
        [sys.executable, str(place / PREDICTOR), "--check", check, "--say-backend", "--no-verify", *options],
        cwd=place.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=timeout,
    )


def _read(output: bytes) -> Trial | None:
    """The two lines that the predictor prints; None where it has not come to the second."""
    lines = output.splitlines()
    if len(lines) < LINES:
        return None
    account, faults = map(json.loads, lines[:LINES])
    return Trial(tuple(Fault.from_json(fault) for fault in faults), note=account["note"])


def _available() -> float:
    """Bytes of memory that a process may still take without swapping; infinite where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return math.inf
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), math.inf)
