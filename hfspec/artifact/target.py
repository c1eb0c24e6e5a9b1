"""Whether the place where an artifact shall lie is free, or holds an artifact that may be replaced."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hfspec.errors import UsageError
from hfspec.ir.artifact import MANIFEST_NAME

REMEDY = "move it away or choose another --output"


def check_target(target: Path) -> None:
    """Raises UsageError unless nothing, an empty folder or an artifact of hfspec lies at ``target``; OSError when that
    cannot be found out.
    """
    _check_outside(target)
    if target.is_symlink():
        raise UsageError(f"{target} is a link, which hfspec does not replace; {REMEDY}.")
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError(f"{target} is a file and no artifact of hfspec; {REMEDY}.")
    if os.path.ismount(target):
        raise UsageError(
            f"{target} is a mount point, which nothing can take the place of; choose a folder in it, such as"
            f" --output {target / 'artifact'}."
        )
    if _holds_current_folder(target):
        raise UsageError(
            f"{target} is the current folder or one above it, which cannot be replaced under your feet; go to another"
            " folder first."
        )
    names = sorted(path.name for path in target.iterdir())
    if not names:
        return
    own = _known_files(target / MANIFEST_NAME)
    if own is None:
        raise UsageError(f"{target} is not empty and no artifact of hfspec (it holds {names[0]}); {REMEDY}.")
    strangers = _strangers(target, own)
    if strangers:
        raise UsageError(f"{target} holds files that hfspec did not write, such as {strangers[0]}; {REMEDY}.")


def _check_outside(target: Path) -> None:
    for parent in target.absolute().parents:
        if _known_files(parent / MANIFEST_NAME) is not None:
            raise UsageError(
                f"{target} lies in the artifact {parent}, which would be damaged; choose another --output."
            )


def check_apart(target: Path, sources: Iterable[Path]) -> None:
    """Raises UsageError when a source lies in the target, since putting the new artifact there would delete it, and
    when the target is no name of a folder.
    """
    if "\0" in str(target):
        raise UsageError("the name of a folder cannot have a null character in it; choose another --output.")
    for source in sources:
        if source.resolve().is_relative_to(target.resolve()):
            raise UsageError(f"{target} holds the source {source}, which would be lost; choose another --output.")


def _holds_current_folder(target: Path) -> bool:
    """An artifact takes the place of the folder, so that a shell in it would stand in a folder that is gone."""
    try:
        return Path.cwd().is_relative_to(target.resolve())
    except OSError:  # the current folder is gone already
        return False


def _known_files(manifest: Path) -> set[str] | None:
    """The files a manifest lists, however damaged what it describes may be; None when it is no manifest."""
    try:
        value: Any = json.loads(manifest.read_bytes())
        if not {"format_version", "digest", "files"} <= set(value):
            return None
        return {record["path"] for record in value["files"]} | {MANIFEST_NAME}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _strangers(target: Path, own: set[str]) -> list[str]:
    paths = []
    for root, folders, files in os.walk(target):
        folders[:] = [name for name in folders if name != "__pycache__"]
        paths += [(Path(root) / name).relative_to(target).as_posix() for name in files]
    return sorted(set(paths) - own)
