"""The stages in order: each function is one way through them, from top to bottom.

compile:       load, validate, resolve, plan, point, build, export, emit
converted:     load, validate, resolve, plan, point, build, convert, build, emit
under a lock:  load, validate, resolve, digest, lock, plan; then as above
lock:          load, validate, resolve, digest, plan, lock
persist:       restore, build, complete
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hfspec.artifact.staging import staging_folder
from hfspec.artifact.target import check_apart
from hfspec.checkpoint.requirements import installed
from hfspec.checkpoint.spec_sources import spec_sources
from hfspec.comparison.replacement import differing_keys, held_account
from hfspec.errors import SpecError
from hfspec.integrity.places import remember
from hfspec.integrity.verification import read_manifest, verify_files
from hfspec.integrity.verified_memory import default_memory
from hfspec.ir.artifact import Artifact
from hfspec.ir.lock import Locked
from hfspec.ir.progress import Of
from hfspec.locking.comparison import changes, entries
from hfspec.locking.lock_file import held_lock, read_lock, write_lock
from hfspec.locking.pinning import check_held, check_versions, notes
from hfspec.runtime.host.process import import_libraries
from hfspec.sources.folder import FolderSource
from hfspec.sources.in_folder import whole
from hfspec.stages.build import WEIGHTS, build
from hfspec.stages.complete import complete
from hfspec.stages.convert import convert
from hfspec.stages.digest import digest
from hfspec.stages.emit import emit
from hfspec.stages.export import export
from hfspec.stages.load import load
from hfspec.stages.lock import lock
from hfspec.stages.plan import plan
from hfspec.stages.point import point
from hfspec.stages.resolve import UNPINNED, resolve
from hfspec.stages.restore import restore
from hfspec.stages.validate import validate
from hfspec.tasks.libraries import LIBRARIES

if TYPE_CHECKING:
    from hfspec.artifact.linking import Link
    from hfspec.ir.artifact import Manifest
    from hfspec.ir.lock import Change
    from hfspec.ir.pins import Reader, Resolved
    from hfspec.ir.plan import Plan
    from hfspec.ir.progress import Progress
    from hfspec.ir.spec import Spec
    from hfspec.ir.tree import Tree


@dataclass(frozen=True, slots=True)
class Job:
    """An artifact that is planned and not yet built."""

    spec: Spec
    tree: Tree
    """Where each key of the spec was written."""
    sources: Resolved
    """Every source at its exact version, each with its reader."""
    plan: Plan


def plan_spec(file: Path, overrides: Sequence[str], progress: Progress) -> Job:
    """Load, validate, resolve, plan. A lock beside the spec says which commits are taken, and nothing more.

    Args:
        file: The spec.
        overrides: Hydra's overrides, ``key=value``.
        progress: Told of what is downloaded and read.

    Returns:
        The plan with what it was made from.

    Raises:
        SpecError: With every problem of the spec and the checkpoint.
        SourceError: For a source that cannot be read.
        LockError: Where the file beside the spec is no lock.
    """
    tree = load(file, overrides)
    spec = validate(tree)
    spec_lock = read_lock(file)
    sources = resolve(spec, tree, progress, spec_lock.commits if spec_lock else UNPINNED)
    artifact_plan = _plan(spec, tree, sources)
    lock_notes = notes(file, spec_lock, sources.pins) if spec_lock else ()
    return Job(spec, tree, sources, replace(artifact_plan, notes=(*artifact_plan.notes, *lock_notes)))


def plan_locked_spec(file: Path, overrides: Sequence[str], progress: Progress) -> Job:
    """Load, validate, resolve, digest, lock, plan. The spec's lock must hold, to the byte.

    Args:
        file: The spec.
        overrides: Hydra's overrides, ``key=value``.
        progress: Told of what is downloaded and read.

    Returns:
        The plan with what it was made from.

    Raises:
        SpecError: With every problem of the spec and the checkpoint.
        SourceError: For a source that cannot be read.
        LockError: Where there is no lock, or with everything that differs from it.
    """
    tree = load(file, overrides)
    spec = validate(tree)
    spec_lock = held_lock(file)
    sources = digest(resolve(spec, tree, progress, spec_lock.commits), progress)
    check_held(file, overrides, spec_lock, lock(spec, tree, sources, installed(spec_lock.versions)))
    artifact_plan = _plan(spec, tree, sources)
    check_versions(file, overrides, spec_lock, artifact_plan)
    return Job(spec, tree, sources, artifact_plan)


def build_artifact(job: Job, target: Path, link: Link, progress: Progress) -> Artifact:
    """Point, build, export, emit; where the spec has the checkpoint converted: point, build, convert, build, emit.

    Args:
        job: What is to be built.
        target: The artifact's folder; it keeps what it held before, whatever is raised.
        link: How weight files that are taken as they are get into the artifact.
        progress: Told of each file.

    Returns:
        The artifact at ``target``.

    Raises:
        SpecError: Where the built predictor does not answer the spec's examples.
        SourceError: Where a source's bytes are not those that were pinned.
        UsageError: Where ``target`` must not be replaced.
        StorageError: For what the disk refuses.
    """
    readers = job.sources.readers
    wholes = {role: whole(reader) for role, reader in readers.items()}
    folders = {role: reader.folder for role, reader in wholes.items() if isinstance(reader, FolderSource)}
    check_apart(target, folders.values())
    artifact_plan = point(job.plan, readers, progress, default_memory())
    remember(artifact_plan.pointers, folders)
    with staging_folder(target.absolute(), progress) as staging, _problems_at_their_keys(job.tree):
        with _converted(job, artifact_plan, staging, progress) as (artifact_plan, readers):
            built = build(artifact_plan, readers, staging, progress, link)
            final_plan, files = export(artifact_plan, built, staging, progress)
        before = held_account(target, final_plan.spec_digest)
        artifact = emit(final_plan, files, readers, staging, target.absolute())
        replaced = differing_keys(before, artifact.path) if before else ()
    return replace(artifact, replaced=replaced)


def lock_spec(file: Path, overrides: Sequence[str], progress: Progress, *, upgrade: bool) -> Locked:
    """Load, validate, resolve, digest, plan, lock; then write the lock beside the spec.

    Args:
        file: The spec.
        overrides: Hydra's overrides, ``key=value``.
        progress: Told of what is downloaded and read.
        upgrade: Whether branches and tags are asked anew, where the lock that is there has a commit for them.

    Returns:
        The lock, and what changed in it.

    Raises:
        SpecError: With every problem of the spec and the checkpoint.
        SourceError: For a source that cannot be read.
        StorageError: Where the lock cannot be written.
        LockError: Where the file beside the spec is no lock.
    """
    tree = load(file, overrides)
    spec = validate(tree)
    before = read_lock(file)
    commits = before.commits if before and not upgrade else UNPINNED
    sources = digest(resolve(spec, tree, progress, commits), progress)
    artifact_plan = _plan(spec, tree, sources)
    after = lock(spec, tree, sources, artifact_plan.all_versions)
    moved = changes(before, after) if before else ()
    return Locked(write_lock(file, after), after, moved, is_new=before is None, notes=artifact_plan.notes)


def changes_since_lock(file: Path, overrides: Sequence[str], progress: Progress) -> tuple[Change, ...]:
    """Load, validate, resolve, digest, lock; then compare with the lock that is there.

    Args:
        file: The spec.
        overrides: Hydra's overrides, ``key=value``.
        progress: Told of what is downloaded and read.

    Returns:
        Everything that differs, none where the lock holds.

    Raises:
        SpecError: With every problem of the spec.
        SourceError: For a source that cannot be read.
        LockError: Where the spec has no lock.
    """
    tree = load(file, overrides)
    spec = validate(tree)
    spec_lock = held_lock(file)
    sources = digest(resolve(spec, tree, progress), progress)
    return changes(spec_lock, lock(spec, tree, sources, installed(spec_lock.versions)))


def changes_from_lock(
    file: Path, overrides: Sequence[str], progress: Progress, *, content: bool, environment: bool
) -> tuple[Change, ...]:
    """Load, validate, resolve at the lock's commits, digest, lock; then compare with the lock that is there. A branch
    that has moved since is no change here.

    Args:
        file: The spec.
        overrides: Hydra's overrides, ``key=value``.
        progress: Told of what is downloaded and read.
        content: Whether the spec, the commits and the bytes are compared.
        environment: Whether Python and the packages are.

    Returns:
        Everything that differs, none where the lock holds.

    Raises:
        SpecError: With every problem of the spec.
        SourceError: For a source that cannot be read.
        LockError: Where the spec has no lock.
    """
    tree = load(file, overrides)
    spec = validate(tree)
    own_lock = held_lock(file)
    moved = entries("version", "", own_lock.versions, installed(own_lock.versions)) if environment else ()
    if not content:
        return tuple(moved)
    sources = digest(resolve(spec, tree, progress, own_lock.commits), progress)
    return (*changes(own_lock, lock(spec, tree, sources, own_lock.versions)), *moved)


def complete_reference(
    manifest: Manifest, folder: Path, sources: Mapping[str, str | PathLike[str]], link: Link, progress: Progress
) -> Artifact:
    """Restore, build, complete.

    Args:
        manifest: Of the reference artifact in ``folder``, verified.
        folder: The artifact, which is replaced by the full one; it stays as it is, whatever is raised.
        sources: Role (``model``) -> a folder that has its weights.
        link: How weight files that are taken as they are get into the artifact.
        progress: Told of each weight file.

    Returns:
        The full artifact; that of another process where this one had to wait for it.

    Raises:
        SourceError: Where the weights are not found.
        VerificationError: Where they are not those that the manifest pins.
        StorageError: For what the disk refuses.
    """
    with staging_folder(folder, progress) as staging:
        if read_manifest(folder) != manifest:  # who was waited for has changed the artifact
            manifest = verify_files(folder)
            if not manifest.pointers:
                return Artifact(folder, manifest)
        restored = restore(folder, manifest, sources, progress, default_memory())
        files = build(restored, restored.readers, staging, Of(WEIGHTS, progress), link)
        return complete(manifest, files, staging, folder)


@contextmanager
def _converted(
    job: Job, artifact_plan: Plan, staging: Path, progress: Progress
) -> Iterator[tuple[Plan, Mapping[str, Reader]]]:
    """The plan of the artifact and who reads its files. Where the plan is that of files to convert, they are converted
    in a folder that is gone after the block.
    """
    if artifact_plan.conversion is None:
        yield artifact_plan, job.sources.readers
        return
    with TemporaryDirectory(prefix=".conversion-", dir=staging) as folder:
        files = build(artifact_plan, job.sources.readers, Path(folder), progress)
        progress.start(f"converting to {artifact_plan.conversion.to}", None)
        try:
            conversion = convert(spec_sources(job.spec, job.tree, job.sources), artifact_plan, files, Path(folder))
        finally:
            progress.finish()
        yield conversion.plan, conversion.readers


@contextmanager
def _problems_at_their_keys(tree: Tree) -> Iterator[None]:
    """Problems found after the plan know the key that is wrong; the tree knows where it was written."""
    try:
        yield
    except SpecError as error:
        raise SpecError([replace(problem, origin=tree.origin(problem.path)) for problem in error.problems]) from error


def _plan(spec: Spec, tree: Tree, sources: Resolved) -> Plan:
    """The plan. In a process of our own transformers is imported first, without what compiling never needs."""
    import_libraries(LIBRARIES[spec.library].packages)
    return plan(spec, tree, sources)
