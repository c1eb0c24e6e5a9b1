"""Two sides in, what changed between them out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import Literal, TypeAlias

from hfspec.comparison.change import Change, changes
from hfspec.errors import UsageError
from hfspec.ir.frozen import FrozenDict

SideKind: TypeAlias = Literal["a spec", "a lock", "an artifact"]
Place: TypeAlias = Callable[[Path], Path]
LOCK = ".lock"
AT_REVISION = re.compile(r"(?P<file>.+?\.(?:ya?ml|lock))@(?P<revision>.+)", re.DOTALL)


def diff(
    a: str | PathLike[str], b: str | PathLike[str] | None = None, overrides: Sequence[str] = ()
) -> tuple[Change, ...]:
    """Compare two specs, locks or artifacts by meaning. No source is asked and no weights are read.

    Args:
        a: A spec (``specs/x.yaml``), a lock (``specs/x.yaml.lock``), either of them at a git revision
            (``specs/x.yaml@HEAD~1``), or an artifact's folder.
        b: Another of the same kind; without it, ``a`` is compared with ``a`` under the overrides.
        overrides: Hydra's overrides, ``key=value``, laid over both specs.

    Returns:
        What changed from ``a`` to ``b``; empty where both say the same.

    Raises:
        UsageError: The two cannot be compared.
        SpecError: A spec is wrong.
        LockError: A lock is wrong.
        VerificationError: An artifact's manifest or small files are damaged.
        WorldError: The machine refuses what is needed, such as git.
    """
    before, after = fspath(a), fspath(a if b is None else b)
    kind, other = kind_of(before), kind_of(after)
    if kind != other:
        raise UsageError(f"{before} is {kind} and {after} is {other}; compare two of a kind")
    if kind == "a spec":
        return changes(*_spec_accounts((before, () if b is None else overrides), (after, overrides)))
    if overrides:
        raise UsageError(f"{before} is {kind}, which takes no overrides; leave out {' '.join(overrides)}")
    return changes(_account(kind, before), _account(kind, after))


def kind_of(side: str) -> SideKind:
    """Tell what a side is.

    Args:
        side: The side, as diff takes it.

    Returns:
        Its kind.

    Raises:
        UsageError: There is no such thing.
    """
    if Path(side).is_dir():
        return "an artifact"
    at = None if Path(side).exists() else AT_REVISION.fullmatch(side)
    if at is None and not Path(side).exists():
        raise UsageError(f"{side} does not exist; give a spec, SPEC@REVISION for one at a git revision, or an artifact")
    return "a lock" if (at["file"] if at else side).endswith(LOCK) else "a spec"


def _spec_accounts(*sides: tuple[str, Sequence[str]]) -> list[FrozenDict]:
    from hfspec.comparison.specs import SpecSide, read_spec, spec_account

    spec_sides: list[SpecSide] = []
    for side, overrides in sides:
        with file_of(side) as (file, place):
            spec_sides.append(read_spec(file, place, overrides))
    # A name that neither spec writes is that of its file, which whoever asks has just chosen.
    has_name = any(side.spec.name is not None for side in spec_sides)
    return [spec_account(side, named=has_name) for side in spec_sides]


def _account(kind: SideKind, side: str) -> FrozenDict:
    if kind == "an artifact":
        from hfspec.comparison.artifacts import artifact_account

        return artifact_account(Path(side))
    from hfspec.comparison.locks import lock_account

    with file_of(side) as (file, _):
        return lock_account(file)


@contextmanager
def file_of(side: str) -> Iterator[tuple[Path, Place]]:
    """Open the file that a side names, as it is or as it was.

    Args:
        side: A side of the comparison: a path, or ``path@revision``.

    Yields:
        The file, and where the reader knows the folders around it to be.

    Raises:
        UsageError: There is no such revision, or no such file in it.
    """
    at = AT_REVISION.fullmatch(side)
    if at is None or Path(side).exists():
        yield Path(side), lambda path: path
        return
    from hfspec.comparison.revisions import past

    with past(Path(at["file"]), at["revision"]) as past_spec:
        yield past_spec.file, past_spec.place
