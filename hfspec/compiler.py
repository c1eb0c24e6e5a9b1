"""The stages, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path

from hfspec.artifact.staging import staging_folder
from hfspec.errors import SpecError
from hfspec.ir.artifact import Artifact, Manifest
from hfspec.ir.pins import Resolved
from hfspec.ir.plan import Plan
from hfspec.ir.problem import Problem
from hfspec.ir.progress import Progress, Silent
from hfspec.ir.spec import Spec
from hfspec.ir.tree import Tree

BUILD = "build"


def compile(  # noqa: A001 - it is the verb
    spec: str | PathLike[str],
    output: str | PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    *,
    run: bool = True,
    progress: Progress | None = None,
) -> Artifact:
    """Compile a spec file into an artifact at ``output``, by default ``build/<name>`` under the current folder.

    ``run``: whether the emitted predictor is run on the spec's input_example before the artifact is put in place.
    Raises SpecError with every problem found, SourceError, StorageError, and UsageError when ``output`` is something
    that must not be replaced. Whatever is raised, the target holds what it held before.
    """
    from hfspec.stages.build import build
    from hfspec.stages.emit import emit

    reported = progress or Silent()
    tree, resolved, decided = _decided(Path(spec), overrides, reported)
    decided = replace(decided, run=decided.run and run)
    target = Path(output) if output is not None else _default_target(decided.name)
    with staging_folder(target.absolute()) as staging, _placed(tree):
        files = build(decided, resolved.readers, staging, reported)
        return emit(decided, files, staging, target.absolute())


def plan(spec: str | PathLike[str], overrides: Sequence[str] = (), progress: Progress | None = None) -> Plan:
    """What compile would do; nothing is written. Raises SpecError with every problem found, and SourceError."""
    return _decided(Path(spec), overrides, progress or Silent())[2]


def validate(spec: str | PathLike[str], overrides: Sequence[str] = ()) -> tuple[Problem, ...]:
    """Every problem that can be found without a source and without a model library; none for a good spec."""
    try:
        load_spec(spec, overrides)
    except SpecError as error:
        return error.problems
    return ()


def load_spec(spec: str | PathLike[str], overrides: Sequence[str] = ()) -> Spec:
    """The spec in a file as a typed value; raises SpecError with every problem found."""
    return _validated(Path(spec), overrides)[1]


def verify(folder: str | PathLike[str]) -> Manifest:
    """The manifest of an artifact, every byte of which has been read and found right.

    Raises VerificationError naming every file that is not what the manifest says.
    """
    from hfspec.runtime.integrity import verify_files

    return verify_files(Path(folder))


def default_target(spec: str | PathLike[str], overrides: Sequence[str] = ()) -> Path:
    """Where compile puts the artifact when it is not told; raises SpecError."""
    checked = load_spec(spec, overrides)
    return _default_target(checked.name or Path(spec).stem)


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


def _decided(spec: Path, overrides: Sequence[str], progress: Progress) -> tuple[Tree, Resolved, Plan]:
    from hfspec.stages.plan import plan as decide
    from hfspec.stages.resolve import resolve

    tree, checked = _validated(spec, overrides)
    resolved = resolve(checked, tree, progress)
    return tree, resolved, decide(checked, tree, resolved)
