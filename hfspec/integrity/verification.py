"""Every byte of an artifact against its manifest, before anything parses it. No torch, no pydantic."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path, PurePosixPath

from hfspec.errors import UsageError, VerificationError
from hfspec.integrity.digests import OTHER_CONTENT, size_fault
from hfspec.integrity.left_by_others import LEFT_BY_OTHERS, foreign_fault
from hfspec.integrity.paths import folded, path_fault, unsafe_pointers
from hfspec.integrity.verified_memory import NO_SURPRISES, Memory, State, is_young, state_of
from hfspec.ir.artifact import MANIFEST_NAME, SPEC_SUFFIXES, FileRecord, Manifest
from hfspec.ir.manifest_versions import NewerFormatError

CHUNK = 1 << 20
LARGEST_MANIFEST = 256 << 20


@dataclass(frozen=True, slots=True)
class Verified:
    """An artifact whose every byte was found to be what the manifest says. ``states``: what each file and folder was
    when it was found right, by its path; ``began``: when the verification did, in ns.
    """

    folder: Path
    manifest: Manifest
    states: Mapping[str, State]
    began: int

    def check_unchanged(self) -> None:
        """For those who have read the files since: raises VerificationError, naming each file and folder that is
        another or was written to after it was verified, even if it was put back.
        """
        differing = sorted(path for path, state in self.states.items() if _state_at(self.folder / path) != state)
        if differing:
            raise VerificationError(
                f"{_where(self.folder)} was changed while it was read; once nothing writes to it, run this again:\n"
                + "\n".join(f"  {path}: was changed after it was verified" for path in differing),
                differing,
            )
        if any(is_young(state, self.began) for state in self.states.values()):
            examine(self.folder)


def verify_files(folder: Path) -> Manifest:
    """Read every byte of an artifact and hold it against the manifest.

    Args:
        folder: The artifact's folder.

    Returns:
        The manifest.

    Raises:
        VerificationError: The message names every file that differs, is missing, is not expected, or is a link.
    """
    artifact = examine(folder)
    artifact.check_unchanged()
    return artifact.manifest


def examine(folder: Path, remember: Path | None = None) -> Verified:
    """Read every byte of an artifact; it may change as soon as this returns.

    Args:
        folder: The artifact's folder.
        remember: A file that keeps which files had which digest, so that the next verification need not read them; it
            may be missing, broken or unwritable.

    Returns:
        The artifact, every byte of it found right.

    Raises:
        VerificationError: The message names every file that differs, is missing, is not expected, or is a link.
    """
    began = time.time_ns()
    states: dict[str, State] = {}
    manifest = _read_manifest(folder, states)
    unsafe = _unsafe(manifest)
    if unsafe:
        raise VerificationError(f"{_where(folder)} has a manifest with unsafe paths: {'; '.join(unsafe)}.", unsafe)
    faults = dict(_strangers(folder, manifest, states))
    memory = Memory.read(remember)
    for record in manifest.files:
        if record.path not in faults:
            fault = _fault(folder / record.path, record, memory, states)
            if fault:
                faults[record.path] = fault
    memory.write()
    if faults:
        lines = "\n".join(f"  {path}: {fault}" for path, fault in sorted(faults.items()))
        raise VerificationError(
            f"{_where(folder)} is not what was compiled; compile it again or fetch it anew:\n{lines}", sorted(faults)
        )
    return Verified(folder, manifest, states, began)


def read_manifest(folder: Path) -> Manifest:
    """Read a manifest and check it against its own digest.

    Args:
        folder: The artifact's folder.

    Returns:
        The manifest.

    Raises:
        VerificationError: The manifest is missing or damaged.
    """
    return _read_manifest(folder, {})


def _read_manifest(folder: Path, states: dict[str, State]) -> Manifest:
    path = folder / MANIFEST_NAME
    try:
        with _opened(path) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise VerificationError(f"{MANIFEST_NAME} of {_where(folder)} is not a plain file.", [MANIFEST_NAME])
            if status.st_size > LARGEST_MANIFEST:
                raise VerificationError(f"{MANIFEST_NAME} of {_where(folder)} is far too large.", [MANIFEST_NAME])
            states[MANIFEST_NAME] = state_of(status)
            return Manifest.from_bytes(file.readall())
    except (FileNotFoundError, NotADirectoryError) as error:
        _refuse_other_files(folder)
        raise VerificationError(
            f"{_where(folder)} is not an artifact: it has no {MANIFEST_NAME}.", [MANIFEST_NAME]
        ) from error
    except OSError as error:
        raise VerificationError(f"{path} cannot be read: {_reason(error)}.", [MANIFEST_NAME]) from error
    except NewerFormatError as error:
        raise VerificationError(f"{MANIFEST_NAME} of {_where(folder)} {error}.", [MANIFEST_NAME]) from error
    except (ValueError, RecursionError) as error:
        raise VerificationError(f"{MANIFEST_NAME} of {_where(folder)} is damaged: {error}.", [MANIFEST_NAME]) from error


def _refuse_other_files(path: Path) -> None:
    """Raises UsageError for what is plainly something else than an artifact's folder, with what to do."""
    if path.suffix in SPEC_SUFFIXES and path.is_file():
        target = Path("build", path.stem)
        raise UsageError(
            f"{path} is a spec, not an artifact; compile it first, with `hfspec compile {path} -o {target}`, and name"
            f" {target} here."
        )
    if path.name == MANIFEST_NAME and path.is_file():
        raise UsageError(f"{path} is the manifest of an artifact; name its folder, {path.parent}.")


def _unsafe(manifest: Manifest) -> list[str]:
    paths = [record.path for record in manifest.files]
    faults = [path for path in paths if path_fault(path)] + unsafe_pointers(manifest)
    names: set[str] = set()
    for path in (MANIFEST_NAME, *paths):
        if folded(path) in names:
            faults.append(path)
        names.add(folded(path))
    return faults


def _strangers(folder: Path, manifest: Manifest, states: dict[str, State]) -> Iterator[tuple[str, str]]:
    """The entries that should not be there: unknown files and folders, links, anything that is neither file nor folder.
    ``states`` gets that of each folder.
    """
    paths = {record.path for record in manifest.files} | {MANIFEST_NAME}
    folders = {parent.as_posix() for path in paths for parent in PurePosixPath(path).parents}
    for path, entry in _entries(folder, ".", states):
        if entry.is_symlink():
            yield path, "is a link"
        elif entry.is_dir(follow_symlinks=False):
            if path not in folders:
                yield path, "is not expected" if path not in paths else "is a folder"
        elif path in LEFT_BY_OTHERS - paths:
            if fault := foreign_fault(folder / path):
                yield path, fault
        elif path not in paths:
            yield path, "is not expected" if path not in folders else "is not a folder"
        elif not entry.is_file(follow_symlinks=False):
            yield path, "is not a plain file"


def _entries(folder: Path, path: str, states: dict[str, State]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    try:
        states[path] = state_of(folder.stat())
        with os.scandir(folder) as entries:
            listing = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise VerificationError(f"{folder} cannot be read: {_reason(error)}.", [path]) from error
    for entry in listing:
        inner = entry.name if path == "." else f"{path}/{entry.name}"
        yield inner, entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(folder / entry.name, inner, states)


def _fault(path: Path, record: FileRecord, memory: Memory, states: dict[str, State]) -> str:
    try:
        with _opened(path) as file:
            status = os.fstat(file.fileno())
            states[record.path] = state_of(status)
            return _content_fault(file, status, record, memory)
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    except OSError as error:
        return f"cannot be read ({_reason(error)})"


def _opened(path: Path) -> FileIO:
    """The file itself, where the path is no link, and without waiting for whoever fills a pipe."""
    return os.fdopen(os.open(path, os.O_RDONLY | NO_SURPRISES), "rb", buffering=0)


def _content_fault(file: FileIO, status: os.stat_result, record: FileRecord, memory: Memory) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "is not a plain file"
    if fault := size_fault(status.st_size, record.size):
        return fault
    if memory.knows(status, record.sha256):
        return ""
    start = time.time_ns()
    if _digest(file) != record.sha256:
        return OTHER_CONTENT
    if state_of(os.fstat(file.fileno())) != state_of(status):
        return "was changed while it was read"
    memory.add(status, record.sha256, start)
    return ""


def _digest(file: FileIO) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(CHUNK))
    while count := file.readinto(buffer):
        digest.update(buffer[:count])
    return digest.hexdigest()


def _state_at(path: Path) -> State | None:
    try:
        return state_of(path.lstat())
    except OSError:
        return None


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _where(folder: Path) -> str:
    return f"the folder {folder}"
