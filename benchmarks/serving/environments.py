"""An environment for each other server, made once in the cache: its own packages before those of this Python."""

from __future__ import annotations

import os
import site
import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.rounds import MissingError

CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "hfspec-serving"
SECONDS = 1800  # to install one
# Name -> what is installed.
PACKAGES = {
    "mlserver": ("mlserver==1.7.1",),
    "litserve": ("litserve==0.2.19",),
    "bentoml": ("bentoml==1.4.40",),
    "infinity": ("infinity-emb[torch,server]==0.0.78", "transformers==4.57.6"),
}


@cache
def python(name: str) -> str:
    """The environment's Python; raises MissingError."""
    folder = CACHE / name
    interpreter = folder / "bin/python"
    if (folder / "made").is_file():
        return str(interpreter)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    _see_ours(folder)
    command = [str(interpreter), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES[name]]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise MissingError(f"{name}: pip took more than {SECONDS} s") from error
    if process.returncode:
        raise MissingError(f"{name}: {process.stderr.strip().splitlines()[-1]}")
    (folder / "made").touch()
    return str(interpreter)


def _see_ours(folder: Path) -> None:
    """Let the environment see the packages of this one that it does not have itself: torch, hfspec and the rest."""
    (packages,) = folder.glob("lib/python*/site-packages")
    lines = [f"import site; site.addsitedir({place!r})\n" for place in site.getsitepackages()]
    (packages / "zz_ours.pth").write_text("".join(lines), encoding="utf-8")
