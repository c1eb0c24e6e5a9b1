"""Manifests as an attacker writes them: every digest is right."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import hfspec
from hfspec.ir.artifact import FileRecord, Manifest


def sealed(folder: Path, change: Callable[[Manifest], Manifest] = lambda manifest: manifest) -> Path:
    """The artifact with a manifest that vouches for whatever lies in it now."""
    manifest = Manifest.from_bytes((folder / "artifact.json").read_bytes())
    records = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "artifact.json":
            content = path.read_bytes()
            name = path.relative_to(folder).as_posix()
            records.append(FileRecord(name, len(content), hashlib.sha256(content).hexdigest()))
    files = tuple(sorted(records, key=lambda record: record.path))
    (folder / "artifact.json").write_bytes(change(replace(manifest, files=files)).to_bytes())
    hfspec.verify(folder)
    return folder
