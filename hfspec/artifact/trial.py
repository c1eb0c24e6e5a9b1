"""The emitted predictor, run on the spec's input example in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hfspec.artifact.texts import INPUT_EXAMPLE, PREDICTOR

LONGEST_MESSAGE = 2000


def trial_fault(folder: Path) -> str:
    """Why the artifact's predictor does not answer its input example; empty when it does.

    The predictor itself holds the answer against the signature, and fails when it does not fit.
    """
    place = folder.absolute()
    environment = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    done = subprocess.run(
        [sys.executable, str(place / PREDICTOR), "--json", str(place / INPUT_EXAMPLE), "--no-verify"],
        cwd=place.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode == 0:
        return ""
    said = done.stderr.decode("utf-8", errors="replace").strip().replace(f"{place}{os.sep}", "")
    return said[-LONGEST_MESSAGE:] or f"it ended with exit code {done.returncode}"
