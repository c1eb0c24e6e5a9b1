"""Processes in which torch and transformers cannot be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

BLOCKED = """
import sys
for name in ("torch", "transformers", "sentence_transformers", "safetensors"):
    sys.modules[name] = None  # importing it raises ModuleNotFoundError
"""


def environment(folder: Path) -> dict[str, str]:
    """For a process, and those that it starts, that can import neither; ``folder``: an empty one."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(BLOCKED)
    places = [str(folder), str(Path(__file__).parents[2])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"}


def ran(folder: Path, *arguments: str, code: int = 0) -> str:
    """What a process of this Python says; it must end with ``code``."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def told(folder: Path, script: str, *arguments: str) -> object:
    """The JSON in the last line of what a script says."""
    return json.loads(ran(folder, "-c", script, *arguments).splitlines()[-1])
