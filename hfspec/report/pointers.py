"""The weights that an artifact refers to, for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hfspec.ir.artifact import Pointer
from hfspec.report.sizes import in_bytes


def save_mode(pointers: Sequence[Pointer]) -> str:
    """Show where the weights lie.

    Args:
        pointers: The artifact's pointers.

    Returns:
        How the weights are saved, and how many bytes are not carried.
    """
    if not pointers:
        return "full"
    return f"reference: {in_bytes(sum(pointer.size for pointer in pointers))} of weights stay at their source"


def pointer_rows(pointers: Sequence[Pointer]) -> Iterator[tuple[str, str, str, str]]:
    """List the weight files that an artifact refers to.

    Args:
        pointers: The pointers of the artifact.

    Yields:
        A row a file: role and path there, size, digest where it is known, what a full save makes of it.
    """
    for pointer in pointers:
        on_full_save = "a full save writes its tensors anew" if pointer.written else "a full save copies it"
        for file in pointer.files:
            yield f"{pointer.role}: {file.path}", in_bytes(file.size), file.sha256[:12] or "not known yet", on_full_save
