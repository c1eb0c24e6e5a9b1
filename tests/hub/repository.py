"""Repositories as the hub has them: branches and tags that point at commits, commits that hold files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

LARGE_SUFFIXES = {".safetensors", ".bin", ".h5", ".msgpack", ".ot", ".onnx", ".model"}


@dataclass(frozen=True)
class HubFile:
    """A file of a commit; a large one is kept apart and known by its sha256, a small one by its git blob id."""

    path: str
    content: bytes

    @property
    def is_large(self) -> bool:
        return Path(self.path).suffix in LARGE_SUFFIXES

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def blob_id(self) -> str:
        """The git object id; for a large file that of its pointer file, as git has it."""
        content = self.content
        if self.is_large:
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(content)}\n"
            content = pointer.encode()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_large else self.blob_id

    def sibling(self, with_blobs: bool) -> dict[str, object]:
        entry: dict[str, object] = {"rfilename": self.path}
        if with_blobs:
            entry |= {"size": len(self.content), "blobId": self.blob_id}
            if self.is_large:
                entry["lfs"] = {"sha256": self.sha256, "size": len(self.content), "pointerSize": 134}
        return entry

    def tree_entry(self) -> dict[str, object]:
        entry: dict[str, object] = {"type": "file", "oid": self.blob_id, "size": len(self.content), "path": self.path}
        if self.is_large:
            entry["lfs"] = {"oid": self.sha256, "size": len(self.content), "pointerSize": 134}
        return entry


@dataclass
class Repository:
    """A model repository. ``refs``: branch or tag -> commit; the first commit published is also ``main``."""

    name: str
    is_private: bool = False
    is_gated: bool = False
    commits: dict[str, dict[str, HubFile]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def publish(self, content: dict[str, bytes], *, branch: str = "main", tag: str = "", prefix: str = "") -> str:
        """A new commit at the head of ``branch``; its 40 hex digits follow from the content, after ``prefix``."""
        files = {path: HubFile(path, data) for path, data in sorted(content.items())}
        listing = json.dumps([[path, file.sha256] for path, file in files.items()])
        commit = prefix + hashlib.sha1(f"{self.name}\0{listing}".encode()).hexdigest()[len(prefix) :]
        self.commits[commit] = files
        self.branches[branch] = commit
        if tag:
            self.tags[tag] = commit
        return commit

    def commit(self, revision: str) -> str | None:
        """The commit that a branch, a tag, or a commit's first seven or more digits name."""
        for refs in (self.branches, self.tags):
            if revision in refs:
                return refs[revision]
        matches = [commit for commit in self.commits if len(revision) >= 7 and commit.startswith(revision)]
        return matches[0] if len(matches) == 1 else None

    def refs(self) -> dict[str, object]:
        def listed(refs: dict[str, str], kind: str) -> list[dict[str, str]]:
            return [
                {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit} for name, commit in refs.items()
            ]

        return {"branches": listed(self.branches, "heads"), "tags": listed(self.tags, "tags"), "converts": []}


def read_folder(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by its POSIX path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
