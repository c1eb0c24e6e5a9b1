"""Where the weights of a reference artifact are: in the hub's cache or on the hub, in a package, in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike

from hfspec.errors import SourceError, UsageError, VerificationError
from hfspec.integrity.digests import OTHER_CONTENT, DigestCheck, size_fault
from hfspec.integrity.places import remembered
from hfspec.ir.artifact import FileRecord, Manifest, SourceRecord
from hfspec.ir.pins import Opened, Reader, SourceName
from hfspec.ir.progress import Progress, Silent
from hfspec.ir.source_kinds import SOURCE_KINDS
from hfspec.sources import folder
from hfspec.sources.kinds import open_kind

Sources = Mapping[str, str | PathLike[str]]


@dataclass(frozen=True, slots=True)
class RoleWeights:
    """The weight files of one role, and what holds them against their digests."""

    manifest: Manifest
    role: str
    digests: DigestCheck

    @property
    def source(self) -> SourceRecord:
        return next(source for source in self.manifest.sources if source.role == self.role)

    @property
    def files(self) -> tuple[FileRecord, ...]:
        return tuple(file for pointer in self.manifest.pointers if pointer.role == self.role for file in pointer.files)


def check_roles(manifest: Manifest, folders: Sources) -> None:
    """Refuse a folder for weights that the artifact does not look for.

    Args:
        manifest: The artifact's manifest.
        folders: Role -> the folder with its weights.

    Raises:
        UsageError: A folder is given for another role than those of the artifact's pointers.
    """
    roles = sorted({pointer.role for pointer in manifest.pointers})
    unknown = sorted(set(folders) - set(roles))
    if unknown and not roles:
        raise UsageError("this artifact holds its weights itself and looks for none; leave out sources.")
    if unknown:
        raise UsageError(f"sources: the artifact looks for {', '.join(roles)}, not for {', '.join(unknown)}.")


def find(
    manifest: Manifest, folders: Sources, digests: DigestCheck, progress: Progress | None = None
) -> dict[str, Reader]:
    """Find the weights that lie outside an artifact; a repository's are downloaded at the recorded commit.

    Args:
        manifest: The artifact's manifest.
        folders: Role -> the folder to take instead of any other.
        digests: The digests of files that are known.
        progress: Told of what is downloaded.

    Returns:
        A reader for each role, all of whose pinned bytes are there and right.

    Raises:
        UsageError: A folder is given for what the artifact does not look for.
        SourceError: The weights are not found; the message lists every place that was looked at.
        StorageError: The disk refuses a read or a write.
        VerificationError: The files that were found have other bytes.
    """
    check_roles(manifest, folders)
    roles = dict.fromkeys(pointer.role for pointer in manifest.pointers)
    return {
        role: _reader(RoleWeights(manifest, role, digests), folders.get(role), progress or Silent()) for role in roles
    }


def count_here(manifest: Manifest, folders: Sources, digests: DigestCheck) -> int:
    """Count the weight files that are on this machine with the right bytes. Nothing is downloaded.

    Args:
        manifest: The artifact's manifest.
        folders: Role -> the folder to take instead of any other.
        digests: The digests of files that are known.

    Returns:
        The number of files.

    Raises:
        UsageError: A folder is given for what the artifact does not look for.
        VerificationError: A folder or package has files of these names with other bytes.
    """
    check_roles(manifest, folders)
    roles = dict.fromkeys(pointer.role for pointer in manifest.pointers)
    return sum(_count(RoleWeights(manifest, role, digests), folders.get(role)) for role in roles)


def _count(weights: RoleWeights, own_folder: str | PathLike[str] | None) -> int:
    if SOURCE_KINDS[weights.source.kind].fetches and own_folder is None:
        repository = _repository(weights, Silent(), local_only=True)
        return sum(_is_there(repository, file) for file in weights.files)
    try:
        _folder(weights, own_folder)
    except SourceError:
        return 0
    return len(weights.files)


def _is_there(repository: Reader, file: FileRecord) -> bool:
    try:
        repository.fetch(file.path)
    except SourceError:
        return False
    return True


def _reader(weights: RoleWeights, own_folder: str | PathLike[str] | None, progress: Progress) -> Reader:
    if not SOURCE_KINDS[weights.source.kind].fetches or own_folder is not None:
        return _folder(weights, own_folder)
    repository = _repository(weights, progress)
    for file in weights.files:
        if not weights.digests.holds(repository.fetch(file.path), file.sha256):
            raise SourceError(f"{weights.source.location}: {file.path} changed right after it was verified; run again.")
    return repository


def _repository(weights: RoleWeights, progress: Progress, *, local_only: bool = False) -> Reader:
    from hfspec.sources.pinned import pinned_repo

    source = weights.source
    return pinned_repo(
        source.location,
        source.commit or "",
        weights.files,
        progress,
        holds=weights.digests.holds,
        local_only=local_only,
    )


def _folder(weights: RoleWeights, own_folder: str | PathLike[str] | None) -> Reader:
    """The first place that has the pinned bytes; ``own_folder``, where there is one, is the only place."""
    attempts: list[str] = []
    differing_paths: list[str] = []
    for where, open_place in _places(weights, own_folder):
        try:
            source = open_place()
        except SourceError as error:
            attempts.append(f"{where}: {error}")
            continue
        faults = {file.path: fault for file in weights.files if (fault := _fault(source, file, weights))}
        if not faults:
            return source.reader
        attempts += [f"{where}: {path} {fault}" for path, fault in sorted(faults.items())]
        differing_paths += [f"model/{path}" for path, fault in faults.items() if fault != MISSING]
    raise _not_found(weights, attempts, differing_paths)


MISSING = "is not there"


def _fault(source: Opened, file: FileRecord, weights: RoleWeights) -> str:
    if file.path not in {other.path for other in source.files}:
        return MISSING
    try:
        local = source.reader.fetch(file.path)
        if fault := size_fault(local.stat().st_size, file.size):
            return fault
        return "" if weights.digests.holds(local, file.sha256) else OTHER_CONTENT
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _places(weights: RoleWeights, own_folder: str | PathLike[str] | None) -> Iterator[tuple[str, Callable[[], Opened]]]:
    """The places in the order in which they are looked at, each with its name in an error and how to open it."""
    source = weights.source
    if own_folder is not None:
        yield f"the folder given, {own_folder}", lambda: folder.open_source(SourceName(str(own_folder)))
    elif not SOURCE_KINDS[source.kind].is_local:
        yield (
            f"the {source.kind} {source.location}",
            lambda: open_kind(source.kind, SourceName(source.version or source.location)),
        )
    else:
        last_folder = remembered(weights.manifest.pointers, weights.role)
        if last_folder is not None:
            yield (
                f"{last_folder}, where they were at compile time",
                lambda: folder.open_source(SourceName(str(last_folder))),
            )
        yield (
            f"{source.location}, from the current folder",
            lambda: folder.open_source(SourceName(source.location)),
        )


def _not_found(
    weights: RoleWeights, attempts: list[str], differing_paths: list[str]
) -> SourceError | VerificationError:
    source = weights.source
    places = "\n".join(f"  {place}" for place in attempts)
    if SOURCE_KINDS[source.kind].is_local and len(attempts) == 1:
        places += "\n  (nothing is remembered here of where they were at compile time)"
    text = (
        f"the weights of {weights.role} ({source.kind} {source.location}), which this artifact refers to, were not"
        f" found with the bytes that it pins; looked at:\n{places}\nName the folder that has them: sources="
        f'{{"{weights.role}": FOLDER}} where load is called, --source {weights.role}=FOLDER on the command line.'
    )
    return VerificationError(text, differing_paths) if differing_paths else SourceError(text)
