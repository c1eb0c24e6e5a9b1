"""The emitted predictor, run on the artifact's own examples in one process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from hfspec.artifact.texts import PREDICTOR
from hfspec.ir.golden import Fault

LONGEST_MESSAGE = 2000


def trial(folder: Path, sources: Mapping[str, Path], *, golden: bool) -> tuple[Fault, ...] | str:
    """Every example of the artifact in ``folder`` that its predictor fails, ``golden``: of the golden ones too; or, as
    a text, why the predictor does not run at all. ``sources``: role -> folder, for weights that the artifact refers to.

    The predictor itself holds each answer against the signature, and fails when it does not fit.
    """
    place = folder.absolute()
    environment = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    given = [f"--source={role}={found.absolute()}" for role, found in sorted(sources.items())]
    done = subprocess.run(
        [sys.executable, str(place / PREDICTOR), "--check", "golden" if golden else "example", "--no-verify", *given],
        cwd=place.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.stdout:
        return tuple(Fault.from_json(fault) for fault in json.loads(done.stdout))
    said = done.stderr.decode("utf-8", errors="replace").strip().replace(f"{place}{os.sep}", "")
    return said[-LONGEST_MESSAGE:] or f"it ended with exit code {done.returncode}"
