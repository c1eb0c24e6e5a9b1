"""The artifact that a compile replaces: one of another spec that lies at its target."""

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
    """Tell what the artifact says of itself that a compile is about to replace.

    Args:
        target: Where the new artifact will be put.
        spec_digest: The digest of the spec that is compiled.

    Returns:
        The account; None where no artifact can be read there, or where it is one of the same spec.
    """
    try:
        if read_manifest(target).spec_digest == spec_digest:
            return None
        return artifact_account(target)
    except (VerificationError, OSError):
        return None


def differing_keys(before: FrozenDict, folder: Path) -> tuple[str, ...]:
    """Name the dotted keys in which a new artifact differs from the one that was there.

    Args:
        before: The account of the artifact that was there.
        folder: The new artifact's folder.

    Returns:
        The keys; where only bytes differ, the groups of them.
    """
    differences = changes(before, artifact_account(folder))
    keys = [".".join(filter(None, (one.group, one.key))) for one in differences if one.group not in FOLLOWING]
    return tuple(dict.fromkeys(keys or [one.group for one in differences]))
