"""What a compile replaces: the artifact of another spec that lies at its target."""

from __future__ import annotations

from pathlib import Path

from hfspec.comparison.artifacts import artifact_account
from hfspec.comparison.change import changes
from hfspec.errors import VerificationError
from hfspec.integrity.verification import read_manifest
from hfspec.ir.frozen import FrozenDict

# Groups that follow from the spec, or are hfspec's own; they say nothing of what was written otherwise.
FOLLOWING = frozenset({"files", "size", "weights", "library versions", "embedding space", "changed from the source"})


def held_account(target: Path, spec_digest: str) -> FrozenDict | None:
    """The account of the artifact at ``target``; None where there is none that can be read, or one of this spec."""
    try:
        if read_manifest(target).spec_digest == spec_digest:
            return None
        return artifact_account(target)
    except (VerificationError, OSError):
        return None


def differing_keys(before: FrozenDict, folder: Path) -> tuple[str, ...]:
    """The dotted keys in which the artifact in ``folder`` differs from the account of the one that was there; where
    these are only bytes, the groups of them.
    """
    found = changes(before, artifact_account(folder))
    stated = [".".join(filter(None, (one.group, one.key))) for one in found if one.group not in FOLLOWING]
    return tuple(dict.fromkeys(stated or [one.group for one in found]))
