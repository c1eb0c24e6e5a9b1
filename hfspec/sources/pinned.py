"""A source that an artifact's manifest pins: exactly its files at its commit, without asking what else there is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from hfspec.ir.artifact import FileRecord
from hfspec.ir.pins import FilePin
from hfspec.ir.progress import Progress
from hfspec.sources.hub import HubFile, HubSource
from hfspec.sources.hub_access import access


def pinned_repo(
    repo: str,
    commit: str,
    files: Iterable[FileRecord],
    progress: Progress,
    *,
    holds: Callable[[Path, str], bool],
    local_only: bool = False,
) -> HubSource:
    """Open a repository at its commit. The hub is asked for nothing until a file must be downloaded.

    Args:
        repo: The repository, ``owner/name``.
        commit: The commit.
        files: The files to open it with.
        progress: Told of what is downloaded.
        holds: Whether a file has this sha256.
        local_only: Whether what is not in the cache is refused, as it is when HF_HUB_OFFLINE says so.

    Returns:
        The source.
    """
    route = access(repo, commit, os.environ)
    listing = {file.path: HubFile(FilePin(file.path, file.size, file.sha256), file.sha256) for file in files}
    return HubSource(replace(route, offline=route.offline or local_only), commit, listing, progress, holds=holds)
