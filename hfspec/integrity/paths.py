"""Paths and places that a manifest may name: of files straight below its folder, and of weights at a pinned source."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from unicodedata import normalize

from hfspec.ir.artifact import Manifest, Pointer
from hfspec.ir.dtypes import DTYPES
from hfspec.tasks.libraries import LIBRARIES

COMMIT = re.compile(r"[0-9a-f]{40}")
REPO = re.compile(r"(?:[\w.-]+/)?[\w.-]+")


def path_fault(path: str) -> str:
    """Check the path of a file in an artifact.

    Args:
        path: The path, relative to the artifact's folder.

    Returns:
        Why it cannot be the path of an artifact's file; empty when it can.
    """
    pure = PurePosixPath(path)
    if not path or pure.is_absolute():
        return "an absolute or empty path"
    if ".." in pure.parts or pure.as_posix() != path:
        return "a path that does not lead straight down"
    if "\\" in path or ":" in path or any(ord(letter) < 32 or ord(letter) == 127 for letter in path):
        return "a character that is no part of a file's name everywhere"
    return ""


def folded(path: str) -> str:
    """Fold a path as a file system does that knows no case and one form of each letter.

    Args:
        path: The path.

    Returns:
        The folded path; two paths that fold alike are one file there.
    """
    return normalize("NFC", normalize("NFC", path).casefold())


def unsafe_pointers(manifest: Manifest) -> list[str]:
    """Find what pointers must not say: weights that are none, or in the place of others, paths that lead out, a role
    without a source, a repository without a name or a commit. Files are read and written by them.

    Args:
        manifest: The manifest of a reference artifact.

    Returns:
        Each that is unsafe.
    """
    sources = {source.role: source for source in manifest.sources}
    faults = [pointer.role for pointer in manifest.pointers if pointer.role not in sources]
    faults += _taken_twice(manifest)
    library = LIBRARIES.get(manifest.deployment.library)
    weights = library.weights if library is not None else ()
    for pointer in manifest.pointers:
        paths = [file.path for file in pointer.files] + [file.path for file in pointer.written]
        faults += [path for path in paths if path_fault(path) or not path.endswith(weights)]
        faults += [str(dtype) for file in pointer.written for dtype in file.tensors.values() if dtype not in DTYPES]
        faults += [pointer.folder] if pointer.folder and path_fault(pointer.folder.removesuffix("/")) else []
        source = sources.get(pointer.role)
        if source is not None and source.kind == "repo":
            faults += [] if REPO.fullmatch(source.location) and ".." not in source.location else [source.location]
            faults += [] if COMMIT.fullmatch(source.commit or "") else [f"commit {source.commit}"]
    return faults


def _taken_twice(manifest: Manifest) -> list[str]:
    """Places of weights where other weights, or a file of the artifact, lie too: what is written there would reach them
    through a link.
    """
    places = [place for pointer in manifest.pointers for place in _places(pointer)]
    counts = Counter([*map(folded, places), *{folded(record.path) for record in manifest.files}])
    return [place for place in places if counts[folded(place)] > 1]


def _places(pointer: Pointer) -> Iterator[str]:
    """Where its weights come to lie; what is written may take the place of what it is made of."""
    paths = [f"model/{file.path}" for file in pointer.files]
    yield from paths
    yield from (file.path for file in pointer.written if file.path not in paths)
