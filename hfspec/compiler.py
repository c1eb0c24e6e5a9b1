"""The public verbs. Each says what is asked of it; hfspec/pipeline.py says which stages answer, in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from hfspec.errors import SourceError, SpecError, UsageError, VerificationError
from hfspec.ir.progress import Progress, Silent

if TYPE_CHECKING:  # each command imports what its own stages need
    from hfspec.artifact.linking import Link
    from hfspec.ir.artifact import Artifact, Manifest
    from hfspec.ir.lock import Change, Locked
    from hfspec.ir.plan import Plan
    from hfspec.ir.problem import Problem
    from hfspec.ir.spec import Spec
    from hfspec.pipeline import Job

BUILD = "build"


def compile(  # noqa: A001 - it is the verb
    spec: str | PathLike[str],
    output: str | PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    *,
    run: bool = True,
    check_golden: bool = True,
    locked: bool = False,
    link: Link = "copy",
    progress: Progress | None = None,
) -> Artifact:
    """Compile a spec file into an artifact.

    Args:
        spec: The spec.
        output: The artifact's folder; by default ``build/<name>`` under the current folder.
        overrides: Hydra's overrides, ``key=value``.
        run: Whether the emitted predictor is run on the spec's input_example and golden examples before the artifact is
            put in place, or, where the spec has none and the memory is there, on one plain input of the task.
        check_golden: Whether it is run on the golden examples.
        locked: Whether the spec's lock must hold, to the byte; without it a lock only says which commits to take.
        link: How weight files get into a full artifact that are taken as they are: ``copy``, ``hardlink``, ``reflink``.
        progress: Told of what is downloaded and written.

    Returns:
        The artifact. Whatever is raised, the folder holds what it held before. A compile of the same folder by another
        process is waited for.

    Raises:
        SpecError: With every problem found.
        SourceError: For a source that cannot be read.
        StorageError: For what the disk refuses.
        LockError: Where the lock does not hold, or what lies beside the spec is no lock.
        UsageError: When ``output`` is something that must not be replaced.
    """
    from hfspec import pipeline

    reported = progress or Silent()
    job = _planned(Path(spec), overrides, reported, locked=locked)
    _check_link(link, job.plan)
    job = replace(job, plan=_with_trial(job.plan, run=run, check_golden=check_golden))
    target = Path(output) if output is not None else _default_target(job.plan.name)
    return pipeline.build_artifact(job, target, link, reported)


def persist(
    folder: str | PathLike[str],
    *,
    sources: Mapping[str, str | PathLike[str]] | None = None,
    link: Link = "copy",
    progress: Progress | None = None,
) -> Artifact:
    """Turn a reference artifact into the full one, in its place: byte for byte what compiling its spec with
    save_mode=full makes. A full artifact is verified and left as it is.

    Args:
        folder: The artifact.
        sources: Role (``model``) -> the folder that has its weights.
        link: As for compile.
        progress: Told of what is downloaded and written.

    Returns:
        The full artifact. Whatever is raised, or kills it, the reference artifact stays, and what was downloaded is
        kept for the next attempt.

    Raises:
        VerificationError: Where files are not what the manifest says.
        SourceError: Where the weights are not found.
        StorageError: For what the disk refuses.
        UsageError: When the folder cannot be replaced.
    """
    from hfspec import pipeline
    from hfspec.integrity.finding import check_roles
    from hfspec.integrity.verification import verify_files
    from hfspec.ir.artifact import Artifact

    target, folders = Path(folder).absolute(), sources or {}
    _check_known(link)
    try:
        manifest = verify_files(target)
        check_roles(manifest, folders)
        if not manifest.pointers:
            return Artifact(target, manifest)
        return pipeline.complete_reference(manifest, target, folders, link, progress or Silent())
    except (SourceError, VerificationError):
        if (full := _full_by_now(target)) is None:
            raise
        return full


def _full_by_now(target: Path) -> Artifact | None:
    """The artifact that somebody else has made full meanwhile, verified; None when nobody has."""
    from hfspec.integrity.verification import verify_files
    from hfspec.ir.artifact import Artifact

    try:
        manifest = verify_files(target)
    except VerificationError:
        return None
    return None if manifest.pointers else Artifact(target, manifest)


def plan(
    spec: str | PathLike[str], overrides: Sequence[str] = (), progress: Progress | None = None, *, locked: bool = False
) -> Plan:
    """Plan a compile; nothing is written.

    Args:
        spec: The spec.
        overrides: Hydra's overrides, ``key=value``.
        progress: Told of what is downloaded and read.
        locked: As for compile.

    Returns:
        Every decision about the artifact.

    Raises:
        SpecError: With every problem found.
        SourceError: For a source that cannot be read.
        LockError: Where the lock does not hold, or what lies beside the spec is no lock.
    """
    return _planned(Path(spec), overrides, progress or Silent(), locked=locked).plan


def lock(
    spec: str | PathLike[str],
    overrides: Sequence[str] = (),
    *,
    upgrade: bool = False,
    progress: Progress | None = None,
) -> Locked:
    """Write the lock of a spec beside it, ``<spec file>.lock``. A lock that is there keeps its commits for every
    repository and revision that the spec still names, wherever a branch has moved since.

    Args:
        spec: The spec.
        overrides: Hydra's overrides, ``key=value``.
        upgrade: Whether every revision is asked anew.
        progress: Told of what is downloaded and read.

    Returns:
        The lock, and what changed in it.

    Raises:
        SpecError: With every problem found.
        SourceError: For a source that cannot be read.
        StorageError: For what the disk refuses.
        LockError: When what lies beside the spec is no lock.
    """
    from hfspec import pipeline

    return pipeline.lock_spec(Path(spec), overrides, progress or Silent(), upgrade=upgrade)


def check_lock(
    spec: str | PathLike[str], overrides: Sequence[str] = (), progress: Progress | None = None
) -> tuple[Change, ...]:
    """The changes since the spec was locked: the spec, branches and tags, bytes, installed versions.

    Args:
        spec: The spec.
        overrides: Hydra's overrides, ``key=value``.
        progress: Told of what is downloaded and read.

    Returns:
        Every change; none when the lock holds.

    Raises:
        LockError: When there is no lock.
        SpecError: With every problem found.
        SourceError: For a source that cannot be read.
        StorageError: For what the disk refuses.
    """
    from hfspec import pipeline

    return pipeline.changes_since_lock(Path(spec), overrides, progress or Silent())


def check_held(
    spec: str | PathLike[str],
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
    *,
    content: bool = True,
    environment: bool = True,
) -> tuple[Change, ...]:
    """The changes from a spec's lock, as ``compile(locked=True)`` would find them: unlike ``check_lock`` it takes the
    lock's commits, wherever a branch has moved since.

    Args:
        spec: The spec.
        overrides: Hydra's overrides, ``key=value``.
        progress: Told of what is downloaded and read.
        content: Whether the spec, the commits, the bytes and the chat templates are compared.
        environment: Whether the versions of Python and of the packages are.

    Returns:
        Every change; none when the lock holds.

    Raises:
        LockError: When there is no lock.
        SpecError: With every problem found.
        SourceError: For a source that cannot be read.
    """
    from hfspec import pipeline

    return pipeline.changes_from_lock(
        Path(spec), overrides, progress or Silent(), content=content, environment=environment
    )


def validate(spec: str | PathLike[str], overrides: Sequence[str] = ()) -> tuple[Problem, ...]:
    """Check a spec without the hub and without a model library; folders that do not exist are problems too.

    Args:
        spec: The spec.
        overrides: Hydra's overrides, ``key=value``.

    Returns:
        Every problem, each with its place; none for a good spec.

    Raises:
        UsageError: When the spec cannot be read.
    """
    from hfspec.checkpoint.places import missing_folders
    from hfspec.stages.load import load
    from hfspec.stages.validate import problems

    try:
        tree = load(Path(spec), overrides)
    except SpecError as error:
        return error.problems
    return (*problems(tree), *missing_folders(tree))


def remarks(spec: str | PathLike[str], overrides: Sequence[str] = ()) -> tuple[Problem, ...]:
    """Remarks on what keeps a good spec from giving the same artifact again for sure: versions of the model, the
    adapter and the components that can move and are not in the spec's lock. None for a spec that cannot be composed,
    which ``validate`` says.

    Raises LockError when what lies beside the spec is no lock, and StorageError when it cannot be read.
    """
    from hfspec.checkpoint.places import unpinned
    from hfspec.stages.load import load

    try:
        tree = load(Path(spec), overrides)
    except (SpecError, UsageError):
        return ()
    if not any(unpinned(tree, {})):
        return ()
    from hfspec.locking.lock_file import read_lock

    spec_lock = read_lock(Path(spec))
    return tuple(unpinned(tree, spec_lock.commits if spec_lock else {}))


def warnings(spec: str | PathLike[str], overrides: Sequence[str] = ()) -> tuple[str, ...]:
    """Warnings about what a spec should not hold though it is no error: tokens, passwords in addresses; each with its
    place. None for a spec that cannot be composed, which ``validate`` says.
    """
    from hfspec.language.secrets import spec_notes
    from hfspec.stages.load import load

    try:
        return tuple(spec_notes(load(Path(spec), overrides)))
    except (SpecError, UsageError):
        return ()


def load_spec(spec: str | PathLike[str], overrides: Sequence[str] = ()) -> Spec:
    """The spec in a file as a typed value.

    Args:
        spec: The spec.
        overrides: Hydra's overrides, ``key=value``.

    Returns:
        The spec.

    Raises:
        SpecError: With every problem found.
    """
    from hfspec.stages.load import load
    from hfspec.stages.validate import validate

    return validate(load(Path(spec), overrides))


def verify(
    folder: str | PathLike[str],
    *,
    run: bool = False,
    trust_remote_code: bool = False,
    key: str | PathLike[str] | None = None,
    signature: str | PathLike[str] | None = None,
    sources: Mapping[str, str | PathLike[str]] | None = None,
) -> Manifest:
    """Read every byte of an artifact and hold it against the manifest.

    Args:
        folder: The artifact.
        run: Whether its golden examples, and its input example, or a plain input where it has neither, are then
            answered by the installed runtime, which executes no file of the artifact but its reviewed code.
        trust_remote_code: Whether that code may run.
        key: A public key; the artifact must then have been signed with its private half.
        signature: The file of the signature; by default ``<folder>.sig``.
        sources: Role -> the folder with the weights of a reference artifact, for ``run``.

    Returns:
        The manifest, every file of which was found right.

    Raises:
        VerificationError: Names every file that is not what the manifest says, the signature that does not vouch for
            them, and every example that does not get its answer.
        UsageError: For a file that cannot be read as a key.
    """
    from hfspec.integrity.verification import examine

    root = Path(folder)
    verified = examine(root)
    if key is not None:
        from hfspec.artifact.signing import check_signature, signature_path

        check_signature(root, verified.manifest, Path(key), Path(signature or signature_path(root)))
    if run:
        from hfspec.runtime.golden.examples import check_examples

        check_examples(root, verified.manifest, sources, trust_remote_code=trust_remote_code)
    verified.check_unchanged()
    return verified.manifest


def weights_here(manifest: Manifest, sources: Mapping[str, str | PathLike[str]] | None = None) -> int:
    """How many of the weight files that a reference artifact refers to are on this machine, each read and found right.
    Nothing is downloaded.

    Args:
        manifest: The artifact's.
        sources: Role -> a folder.

    Returns:
        The number of files.

    Raises:
        VerificationError: When a folder or package has files of their names with other bytes.
    """
    from hfspec.integrity.digests import DigestCheck
    from hfspec.integrity.finding import count_here
    from hfspec.integrity.verified_memory import Memory

    return count_here(manifest, sources or {}, DigestCheck(Memory(None)))


def sign(
    folder: str | PathLike[str],
    key: str | PathLike[str],
    *,
    signature: str | PathLike[str] | None = None,
    password: str | None = None,
) -> Path:
    """Sign an artifact with a private key, once every byte of it was found right.

    Args:
        folder: The artifact.
        key: An elliptic-curve key in a PEM file.
        signature: Where to write the signature; by default ``<folder>.sig``, since no file may be added to an artifact.
        password: What protects the key.

    Returns:
        The place of the signature.

    Raises:
        VerificationError: Names every file that is not what the manifest says.
        StorageError: For what the disk refuses.
        UsageError: For a key that cannot sign, and a place that must not be written to.
    """
    from hfspec.artifact.signing import signature_path, write_signature
    from hfspec.integrity.verification import examine

    root = Path(folder)
    place = Path(signature or signature_path(root))
    verified = examine(root)
    write_signature(root, Path(key), place, password)
    verified.check_unchanged()
    return place


def default_target(spec: str | PathLike[str], overrides: Sequence[str] = ()) -> Path:
    """Where compile puts the artifact when it is not told.

    Args:
        spec: The spec.
        overrides: Hydra's overrides, ``key=value``.

    Returns:
        ``build/<name>``, under the current folder.

    Raises:
        SpecError: With every problem found.
    """
    return _default_target(load_spec(spec, overrides).name or Path(spec).stem)


def _planned(spec: Path, overrides: Sequence[str], progress: Progress, *, locked: bool) -> Job:
    from hfspec import pipeline

    if locked:
        return pipeline.plan_locked_spec(spec, overrides, progress)
    return pipeline.plan_spec(spec, overrides, progress)


def _with_trial(plan: Plan, *, run: bool, check_golden: bool) -> Plan:
    """The plan with the examples run that the caller wants run, of those that the spec has; without any, one plain
    input of the task, unless the weights stay elsewhere or reviewed code would run.
    """
    golden = plan.check_golden and run and check_golden
    runs = golden or (run and plan.input_example is not None)
    probe = run and not (runs or plan.pointers or plan.code)
    return replace(plan, run=runs, check_golden=golden, probe=probe)


def _check_known(link: str) -> None:
    from hfspec.artifact.linking import LINKS

    if link not in LINKS:
        raise UsageError(f"link must be one of {', '.join(LINKS)}, not {link!r}.")


def _check_link(link: str, plan: Plan) -> None:
    _check_known(link)
    if link != "copy" and plan.pointers:
        raise UsageError(
            f"--link {link} has no effect with save_mode: reference, which carries no weights; leave it out."
        )


def _default_target(name: str) -> Path:
    return Path(BUILD) / name
