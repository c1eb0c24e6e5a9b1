"""The stages, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from hfspec.errors import SourceError, SpecError, UsageError, VerificationError
from hfspec.ir.progress import Of, Progress, Silent

if TYPE_CHECKING:  # each command imports what its own stages need
    from hfspec.artifact.linking import Link
    from hfspec.ir.artifact import Artifact, Manifest
    from hfspec.ir.lock import Change, Lock, Locked
    from hfspec.ir.pins import Resolved
    from hfspec.ir.plan import Plan
    from hfspec.ir.problem import Problem
    from hfspec.ir.spec import Spec
    from hfspec.ir.tree import Tree

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
    """Compile a spec file into an artifact at ``output``, by default ``build/<name>`` under the current folder.

    ``run``: whether the emitted predictor is run on the spec's input_example and golden examples before the artifact is
    put in place, or, where the spec has none and the memory is there, on one plain input of the task; ``check_golden``:
    whether on the golden ones.
    ``locked``: whether the spec's lock must hold, to the byte; without it a lock only says which commits to take.
    ``link``: how weight files get into a full artifact that are taken as they are: ``copy``, ``hardlink``, ``reflink``.
    Raises SpecError with every problem found, SourceError, StorageError, LockError, and UsageError when ``output`` is
    something that must not be replaced. Whatever is raised, the target holds what it held before. A compile of the same
    target that another process is at is waited for.
    """
    from hfspec.artifact.staging import staging_folder
    from hfspec.artifact.target import check_apart
    from hfspec.comparison.replacement import differing_keys, held_account
    from hfspec.integrity.places import remember
    from hfspec.integrity.verified_memory import default_memory
    from hfspec.sources.folder import FolderSource
    from hfspec.stages.build import build
    from hfspec.stages.emit import emit
    from hfspec.stages.point import point

    reported = progress or Silent()
    tree, resolved, decided = _decided(Path(spec), overrides, reported, locked=locked)
    _check_link(link, decided)
    decided = _trying(decided, run=run, check_golden=check_golden)
    target = Path(output) if output is not None else _default_target(decided.name)
    folders = {role: reader.folder for role, reader in resolved.readers.items() if isinstance(reader, FolderSource)}
    check_apart(target, folders.values())
    decided = point(decided, resolved.readers, reported, default_memory())
    remember(decided.pointers, folders)
    with staging_folder(target.absolute(), reported) as staging, _placed(tree):
        files = build(decided, resolved.readers, staging, reported, link)
        before = held_account(target, decided.spec_digest)
        made = emit(decided, files, resolved.readers, staging, target.absolute())
        return replace(made, notes=decided.notes, replaced=differing_keys(before, made.path) if before else ())


def persist(
    folder: str | PathLike[str],
    *,
    sources: Mapping[str, str | PathLike[str]] | None = None,
    link: Link = "copy",
    progress: Progress | None = None,
) -> Artifact:
    """Turn a reference artifact into the full one, in its place: byte for byte what compiling its spec with
    save_mode=full makes. A full artifact is verified and left as it is.

    ``sources``: role (``model``) -> the folder that has its weights; ``link``: as for compile. Raises
    VerificationError, SourceError, StorageError, and UsageError when the folder cannot be replaced. Whatever is raised,
    or kills it, the reference artifact stays, and what was downloaded is kept for the next attempt.
    """
    from hfspec.artifact.staging import staging_folder
    from hfspec.integrity.finding import check_given
    from hfspec.integrity.verification import verify_files
    from hfspec.integrity.verified_memory import default_memory
    from hfspec.ir.artifact import Artifact
    from hfspec.stages.build import WEIGHTS, build
    from hfspec.stages.complete import complete
    from hfspec.stages.restore import restore

    target, given, reported = Path(folder).absolute(), sources or {}, progress or Silent()
    _check_known(link)
    try:
        manifest = verify_files(target)
        check_given(manifest, given)
        if not manifest.pointers:
            return Artifact(target, manifest)
        with staging_folder(target, reported) as staging:
            restored = restore(target, manifest, given, reported, default_memory())
            files = build(restored, restored.readers, staging, Of(WEIGHTS, reported), link)
            return complete(manifest, files, staging, target)
    except (SourceError, VerificationError):
        if (done := _full_by_now(target)) is None:
            raise
        return done


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
    """What compile would do; nothing is written.

    Raises SpecError with every problem found, SourceError, and LockError.
    """
    return _decided(Path(spec), overrides, progress or Silent(), locked=locked)[2]


def lock(
    spec: str | PathLike[str],
    overrides: Sequence[str] = (),
    *,
    upgrade: bool = False,
    progress: Progress | None = None,
) -> Locked:
    """Write the lock of a spec beside it, ``<spec file>.lock``, and say what changed in it.

    A lock that is there keeps its commits for every repository and revision that the spec still names, wherever a
    branch has moved since; ``upgrade`` asks anew. Raises SpecError, SourceError, StorageError, and LockError when what
    is there is no lock.
    """
    from hfspec.ir.lock import Locked
    from hfspec.locking.comparison import changes
    from hfspec.locking.lock_file import read_lock, write_lock

    file, reported = Path(spec), progress or Silent()
    tree, checked = _validated(file, overrides)
    held = read_lock(file)
    resolved = _digested(tree, checked, None if upgrade else held, reported)
    decided = _planned(tree, checked, resolved)
    found = _locked(tree, checked, resolved, decided.versions)
    return Locked(write_lock(file, found), found, changes(held, found) if held else (), is_new=held is None)


def check_lock(
    spec: str | PathLike[str], overrides: Sequence[str] = (), progress: Progress | None = None
) -> tuple[Change, ...]:
    """What moved since the spec was locked: the spec, branches and tags, bytes, installed versions; none when it holds.

    Raises LockError when there is no lock, SpecError, SourceError, StorageError.
    """
    from hfspec.locking.comparison import changes
    from hfspec.locking.lock_file import held_lock

    tree, checked = _validated(Path(spec), overrides)
    held = held_lock(Path(spec))
    return changes(held, _found(tree, checked, _digested(tree, checked, None, progress or Silent()), held))


def validate(spec: str | PathLike[str], overrides: Sequence[str] = ()) -> tuple[Problem, ...]:
    """Every problem that can be found without the hub and without a model library, folders that do not exist among
    them; none for a good spec.
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
    """What keeps a good spec from giving the same artifact again for sure: versions of the model, the adapter and the
    components that can move and are not in the spec's lock. None for a spec that cannot be composed, which ``validate``
    says.

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

    return tuple(unpinned(tree, _commits(read_lock(Path(spec)))))


def warnings(spec: str | PathLike[str], overrides: Sequence[str] = ()) -> tuple[str, ...]:
    """What a spec should not hold though it is no error: tokens, passwords in addresses; each with its place. None for
    a spec that cannot be composed, which ``validate`` says.
    """
    from hfspec.language.secrets import spec_notes
    from hfspec.stages.load import load

    try:
        return tuple(spec_notes(load(Path(spec), overrides)))
    except (SpecError, UsageError):
        return ()


def load_spec(spec: str | PathLike[str], overrides: Sequence[str] = ()) -> Spec:
    """The spec in a file as a typed value; raises SpecError with every problem found."""
    return _validated(Path(spec), overrides)[1]


def verify(
    folder: str | PathLike[str],
    *,
    run: bool = False,
    trust_remote_code: bool = False,
    key: str | PathLike[str] | None = None,
    signature: str | PathLike[str] | None = None,
    sources: Mapping[str, str | PathLike[str]] | None = None,
) -> Manifest:
    """The manifest of an artifact, every byte of which has been read and found right.

    ``run``: whether its golden examples, and its input example, are then answered by the installed runtime, which
    executes no file of the artifact but its reviewed code, for which ``trust_remote_code`` is needed. ``key``: a public
    key; the artifact must then have been signed with its private half, in ``signature``, by default ``<folder>.sig``.
    ``sources``: where the weights of a reference artifact are, for ``run``. Raises VerificationError naming every file
    that is not what the manifest says, the signature that does not vouch for them, and every example that does not get
    its answer; UsageError for a key that is none, and when there is no example to run.
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

    Nothing is downloaded. ``sources``: role -> folder. Raises VerificationError when a folder or package has files of
    their names with other bytes.
    """
    from hfspec.integrity.finding import count_here
    from hfspec.integrity.held import Held
    from hfspec.integrity.verified_memory import Memory

    return count_here(manifest, sources or {}, Held(Memory(None)))


def sign(
    folder: str | PathLike[str],
    key: str | PathLike[str],
    *,
    signature: str | PathLike[str] | None = None,
    password: str | None = None,
) -> Path:
    """Sign an artifact, once every byte of it was found right, with a private key; the place of the signature.

    ``key``: an elliptic-curve key in a PEM file, ``password``: what protects it. ``signature``: where to write it, by
    default ``<folder>.sig``, since no file may be added to an artifact. Raises VerificationError, StorageError, and
    UsageError for a key that cannot sign and a place that must not be written to.
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
    """Where compile puts the artifact when it is not told; raises SpecError."""
    checked = load_spec(spec, overrides)
    return _default_target(checked.name or Path(spec).stem)


def _trying(decided: Plan, *, run: bool, check_golden: bool) -> Plan:
    """The plan with the examples run that the caller wants run, of those that the spec has; without any, one plain
    input of the task, unless the weights stay elsewhere or reviewed code would run.
    """
    golden = decided.check_golden and run and check_golden
    runs = golden or (run and decided.input_example is not None)
    probe = run and not (runs or decided.pointers or decided.code)
    return replace(decided, run=runs, check_golden=golden, probe=probe)


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


def _validated(spec: Path, overrides: Sequence[str]) -> tuple[Tree, Spec]:
    from hfspec.stages.load import load
    from hfspec.stages.validate import validate as check

    tree = load(spec, overrides)
    return tree, check(tree)


@contextmanager
def _placed(tree: Tree) -> Iterator[None]:
    """Problems found after the plan know the key that is wrong; the tree knows where it was written."""
    try:
        yield
    except SpecError as error:
        raise SpecError([replace(found, origin=tree.origin(found.path)) for found in error.problems]) from error


def _decided(spec: Path, overrides: Sequence[str], progress: Progress, *, locked: bool) -> tuple[Tree, Resolved, Plan]:
    from hfspec.locking.lock_file import held_lock, read_lock
    from hfspec.locking.pinning import check_held, check_versions, notes
    from hfspec.stages.resolve import resolve

    tree, checked = _validated(spec, overrides)
    if not locked:
        known = read_lock(spec)
        resolved = resolve(checked, tree, progress, _commits(known))
        decided = _planned(tree, checked, resolved)
        told = notes(spec, known, resolved.pins) if known else ()
        return tree, resolved, replace(decided, notes=(*decided.notes, *told))
    held = held_lock(spec)
    resolved = _digested(tree, checked, held, progress)
    check_held(spec, overrides, held, _found(tree, checked, resolved, held))
    decided = _planned(tree, checked, resolved)
    check_versions(spec, overrides, held, decided)
    return tree, resolved, decided


def _planned(tree: Tree, spec: Spec, resolved: Resolved) -> Plan:
    from hfspec.stages.plan import plan as decide

    return decide(spec, tree, resolved)


def _commits(held: Lock | None) -> Mapping[tuple[str, str | None], str]:
    return held.commits if held else {}


def _digested(tree: Tree, spec: Spec, held: Lock | None, progress: Progress) -> Resolved:
    """The sources, at the commits that a lock holds, with the digest of every file."""
    from hfspec.stages.digest import digest
    from hfspec.stages.resolve import resolve

    return digest(resolve(spec, tree, progress, _commits(held)), progress)


def _locked(tree: Tree, spec: Spec, digested: Resolved, versions: Mapping[str, str]) -> Lock:
    from hfspec.stages.lock import lock as hold

    return hold(spec, tree, digested, versions)


def _found(tree: Tree, spec: Spec, digested: Resolved, held: Lock) -> Lock:
    """The lock that would be written now, for the packages that ``held`` names as they are installed here."""
    from hfspec.checkpoint.requirements import installed

    return _locked(tree, spec, digested, installed(held.versions))
