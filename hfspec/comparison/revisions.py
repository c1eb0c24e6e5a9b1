"""A spec or lock at a git revision, with what the spec extends: read from git's objects, not checked out."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hfspec.errors import SpecError, UsageError, WorldError
from hfspec.ir.artifact import SPEC_SUFFIXES
from hfspec.ir.problem import Problem
from hfspec.language.discovery import search_root

# Set inside git hooks, where they point at whatever git is busy with; the repository meant is the one around the spec.
HOOK_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")
LAID_OUT = (*SPEC_SUFFIXES, ".lock")
PLAIN_FILE = "100"


@dataclass(frozen=True, slots=True)
class Past:
    """The specs and locks of a revision, laid out under ``folder`` as they were under the repository's ``top``."""

    file: Path
    folder: Path
    top: Path

    def place(self, path: Path) -> Path:
        """Find a folder of the revision in the repository.

        Args:
            path: A folder.

        Returns:
            Where in the repository it is, if it lies below ``folder``; else the folder itself.
        """
        return self.top / path.relative_to(self.folder) if path.is_relative_to(self.folder) else path


@contextmanager
def past(spec: Path, revision: str) -> Iterator[Past]:
    """Read a spec or lock at a git revision, for as long as the context lasts. The file need not exist now.

    Args:
        spec: The file.
        revision: A commit, tag or branch.

    Yields:
        The file as it was. The problems of a SpecError that is raised inside get the places that a reader knows.

    Raises:
        UsageError: There is no repository, no such revision, or no such file in it.
        WorldError: Git cannot be run.
    """
    file = Path(os.path.abspath(spec))  # noqa: PTH100 - resolve() would follow the spec's own link
    root = search_root(spec)
    top = _top(file.parent)
    if not root.resolve().is_relative_to(top):
        raise UsageError(f"{root}, where {spec} looks for what it extends, lies outside of the git repository {top}")
    commit = _commit(top, revision)
    below = root.resolve().relative_to(top)
    with tempfile.TemporaryDirectory(prefix="hfspec-diff-") as temporary:
        folder = Path(temporary).resolve() / top.name
        _lay_out(top, commit, below, folder)
        past_file = folder / below / file.relative_to(root)
        if not past_file.is_file():
            raise UsageError(f"{spec} is not a file of the git revision {revision}")
        with _placed(folder, revision):
            yield Past(past_file, folder, top)


def paths_at(place: Path, revision: str) -> list[Path]:
    """List the files below a folder at a git revision.

    Args:
        place: A folder, or a file; it need not exist now.
        revision: A commit, tag or branch.

    Returns:
        The files' paths, each beginning with ``place``; none where the revision has no such folder.

    Raises:
        UsageError: There is no repository or no such revision.
        WorldError: Git cannot be run.
    """
    top = _top(place)
    absolute = place.resolve()
    below = absolute.relative_to(top) if absolute.is_relative_to(top) else None
    if below is None:
        raise UsageError(f"{place} lies outside of the git repository {top}")
    where = [] if below == Path() else ["--", below.as_posix()]
    options = ("ls-tree", "-r", "-z", "--name-only", "--full-tree", _commit(top, revision), *where)
    names = [os.fsdecode(name) for name in _git(top, "--literal-pathspecs", *options).split(b"\0") if name]
    return [place / Path(name).relative_to(below) for name in names]


def merge_base(place: Path, revision: str, other: str) -> str:
    """The last commit that two revisions share; the first of them where they share none."""
    top = _top(place)
    commits = _commit(top, revision), _commit(top, other)
    try:
        return _git(top, "merge-base", *commits).decode().strip()
    except UsageError:
        return commits[0]


def _top(place: Path) -> Path:
    """The top folder of the repository around a place."""
    absolute = Path(os.path.abspath(place))  # noqa: PTH100 - resolve() would follow links out of the tree
    around = next(folder for folder in (absolute, *absolute.parents) if folder.is_dir())
    return Path(os.fsdecode(_git(around, "rev-parse", "--show-toplevel").removesuffix(b"\n"))).resolve()


def _commit(top: Path, revision: str) -> str:
    options = ("--verify", "--quiet", "--end-of-options")
    try:
        return _git(top, "rev-parse", *options, f"{revision}^{{commit}}").decode().strip()
    except UsageError as error:
        remedy = "a shallow clone has only its last commits, `git fetch --unshallow` brings the others"
        raise UsageError(f"{revision} is not a commit, tag or branch of the git repository {top}; {remedy}") from error


def _lay_out(top: Path, commit: str, below: Path, folder: Path) -> None:
    """The revision's specs and locks below a folder of the repository, byte for byte as they were committed."""
    where = [] if below == Path() else ["--", f"{below.as_posix()}/"]
    listing = _git(top, "--literal-pathspecs", "ls-tree", "-r", "-z", "--full-tree", commit, *where)
    entries = [entry.partition(b"\t") for entry in listing.split(b"\0") if entry]
    blobs: list[tuple[str, str]] = []
    for head, _, name in entries:
        mode, _, digest = head.decode().split(" ")
        path = os.fsdecode(name)
        if mode.startswith(PLAIN_FILE) and path.endswith(LAID_OUT) and ".." not in Path(path).parts:
            blobs.append((path, digest))
    contents = _contents(top, [digest for _, digest in blobs])
    for (path, _), content in zip(blobs, contents, strict=True):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _contents(top: Path, digests: list[str]) -> Iterator[bytes]:
    """The blobs of these digests, in order: each comes as a line with its size, its bytes, and a line break."""
    data = _git(top, "cat-file", "--batch", stdin="".join(f"{digest}\n" for digest in digests).encode())
    start = 0
    for digest in digests:
        end = data.index(b"\n", start)
        words = data[start:end].split(b" ")
        if len(words) != 3:
            raise WorldError(
                f"the git repository {top} does not have the object {digest}; `git fetch` it and try again"
            )
        start = end + 1 + int(words[2]) + 1
        yield data[end + 1 : start - 1]


def _git(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    environment = {name: value for name, value in os.environ.items() if name not in HOOK_VARIABLES}
    try:
        process = subprocess.run(
            ["git", "-C", str(folder), *arguments], input=stdin, capture_output=True, env=environment, check=False
        )
    except OSError as error:
        raise WorldError(f"git cannot be run: {error.strerror}; install it, or compare two files") from error
    if process.returncode:
        message = process.stderr.decode(errors="replace").strip() or f"exit code {process.returncode}"
        raise UsageError(f"git {arguments[0]} in {folder}: {message}")
    return process.stdout


@contextmanager
def _placed(folder: Path, revision: str) -> Iterator[None]:
    try:
        yield
    except SpecError as error:
        raise SpecError([_with_place(problem, f"{folder}{os.sep}", revision) for problem in error.problems]) from error


def _with_place(problem: Problem, prefix: str, revision: str) -> Problem:
    origin = problem.origin
    if origin.file.startswith(prefix):
        origin = replace(origin, file=f"{origin.file.removeprefix(prefix)}@{revision}")
    return replace(problem, origin=origin, message=problem.message.replace(prefix, ""))
