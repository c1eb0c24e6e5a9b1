"""The command line as its users run it: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import interpreters

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def hfspec(tmp_path: Path) -> Run:
    """``hfspec(*arguments)`` runs the command in an empty folder, offline, and gives its outcome."""
    folder = tmp_path / "cwd"
    folder.mkdir()

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
        return interpreters.run(
            [sys.executable, "-m", "hfspec", *map(str, arguments)],
            cwd=folder,
            env=environment,
            text=True,
            capture_output=True,
            check=False,
            **options,
        )

    return run
