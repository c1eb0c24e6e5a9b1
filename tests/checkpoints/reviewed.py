"""What a spec lists of a checkpoint's code."""

from __future__ import annotations

import hashlib
from pathlib import Path


def reviewed(folder: Path, *names: str) -> list[dict[str, str]]:
    """Files of a checkpoint as `trust_remote_code` lists them; every Python file in it when none is named."""
    paths = [folder / name for name in names] or sorted(folder.rglob("*.py"))
    return [
        {"path": path.relative_to(folder).as_posix(), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in paths
    ]
