"""The hub client's own cache folder, shared with every other program that uses it.

Its layout is documented (https://huggingface.co/docs/huggingface_hub/guides/manage-cache): ``blobs/<etag>`` holds the
bytes, ``snapshots/<commit>/<path>`` links to them, ``refs/<revision>`` holds a commit.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

COMMIT = re.compile(r"[0-9a-f]{40}")
CHUNK = 1 << 20


def cache_root(environment: Mapping[str, str]) -> Path:
    """Tell where the hub's client keeps its cache.

    Args:
        environment: The environment's variables.

    Returns:
        The folder.
    """
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environment.get(name):
            return Path(environment[name]).expanduser()
    home = environment.get("HF_HOME") or str(Path(environment.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    return Path(home).expanduser() / "hub"


def digest_of(file: Path, etag: str) -> str:
    """Digest a file as its etag does.

    Args:
        file: The file.
        etag: The etag, of 64 digits for sha256, else git's blob id.

    Returns:
        The digest of the same kind.
    """
    if len(etag) == 64:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class RepoCache:
    """One repository's part of the cache."""

    root: Path
    repo: str

    @property
    def folder(self) -> Path:
        return self.root / ("models--" + self.repo.replace("/", "--"))

    def snapshot(self, commit: str) -> Path:
        """Where the files of a commit lie.

        Args:
            commit: The commit.

        Returns:
            The folder, which need not be there.
        """
        return self.folder / "snapshots" / commit

    def blob(self, etag: str) -> Path:
        """Where the bytes of a digest lie.

        Args:
            etag: The sha256 or git's blob id.

        Returns:
            The file, which need not be there.
        """
        return self.folder / "blobs" / etag

    def lock(self, etag: str) -> AbstractContextManager[object]:
        """Keep other processes from writing a blob: the same lock that the client takes to download it.

        Args:
            etag: The sha256 or git's blob id.

        Returns:
            The lock, to be held while the blob is written.
        """
        from huggingface_hub.utils import WeakFileLock

        file = self.root / ".locks" / self.folder.name / f"{etag}.lock"
        file.parent.mkdir(parents=True, exist_ok=True)
        lock: AbstractContextManager[object] = WeakFileLock(file)
        return lock

    def remember(self, revision: str, commit: str) -> None:
        """Remember a revision's commit, for days without a hub.

        Args:
            revision: The branch or tag.
            commit: What it was found to be.
        """
        if revision == commit:
            return
        file = self.folder / "refs" / revision
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(commit, encoding="ascii")

    def commit(self, revision: str) -> str | None:
        """Look a revision up.

        Args:
            revision: A branch, a tag, or a commit's first digits.

        Returns:
            The commit that the cache knows for it; None when it knows none.
        """
        file = self.folder / "refs" / revision
        if file.is_file():
            return file.read_text(encoding="ascii").strip()
        snapshots = self.folder / "snapshots"
        names = [path.name for path in snapshots.iterdir()] if snapshots.is_dir() else []
        matches = [name for name in names if len(revision) >= 7 and name.startswith(revision)]
        return matches[0] if len(matches) == 1 and COMMIT.fullmatch(matches[0]) else None

    def place(self, commit: str, path: str, etag: str) -> Path:
        """Let a snapshot show a blob.

        Args:
            commit: The commit.
            path: The path in its snapshot.
            etag: The digest that names the blob.

        Returns:
            The path in the snapshot: a relative link, or the file itself where links cannot be made.
        """
        pointer = self.snapshot(commit) / path
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.unlink(missing_ok=True)
        try:
            pointer.symlink_to(os.path.relpath(self.blob(etag), pointer.parent))
        except OSError:
            shutil.move(self.blob(etag), pointer)
        return pointer
