"""Requirements with hashes, as the installed pip resolves them from the package index that it is configured for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from hfspec.errors import SourceError

PYTHON = "python"
SECONDS = 1800
HASH = "sha256"


def hashed_requirements(versions: Mapping[str, str]) -> str:
    """The packages of these versions with all that they need, each with the sha256 of the file that pip would install
    here: what ``pip install --require-hashes -r`` takes. Nothing is installed.

    Args:
        versions: Package -> version; ``python`` is left out.

    Returns:
        The text of a requirements file, sorted by name.

    Raises:
        SourceError: Pip is not there, or finds no such packages.
    """
    requirements = [f"{name}=={version}" for name, version in sorted(versions.items()) if name != PYTHON]
    return hashed_lines(requirements, f"For Python {versions[PYTHON]} on {sys.platform}." if PYTHON in versions else "")


def hashed_lines(requirements: Sequence[str], head: str = "") -> str:
    """As ``hashed_requirements``, of what pip calls requirement specifiers: ``numpy==2.4.6``, ``uvicorn>=0.34``.

    Args:
        requirements: The packages.
        head: A comment for the first line; none where it is empty.

    Returns:
        The text of a requirements file, sorted by name.

    Raises:
        SourceError: Pip is not there, or finds no such packages.
    """
    lines = sorted(_line(item) for item in _resolved(requirements)["install"])
    return "".join(f"{line}\n" for line in ([f"# {head}"] if head else []) + lines)


def _resolved(requirements: Sequence[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    try:
        process = subprocess.run(
            [*command, *requirements], capture_output=True, text=True, check=False, env=environment, timeout=SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"pip did not find the packages within {SECONDS} seconds; run it again.") from error
    if process.returncode:
        messages = [line for line in process.stderr.splitlines() if line.strip()] or ["it did not say why"]
        raise SourceError(
            f"pip does not find what the lock names: {messages[-1].removeprefix('ERROR: ')}. Give it an index that has"
            " the packages (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL), or lock with versions that there are."
        )
    report: dict[str, Any] = json.loads(process.stdout)
    return report


def _line(item: Mapping[str, Any]) -> str:
    name, version = item["metadata"]["name"], item["metadata"]["version"]
    digest = item["download_info"].get("archive_info", {}).get("hashes", {}).get(HASH)
    if digest is None:
        raise SourceError(
            f"pip would install {name} {version} from a folder or a repository, which has no sha256; install it from an"
            " index, and lock again."
        )
    return f"{name}=={version} --hash={HASH}:{digest}"
