"""Where folders of weights were seen on this machine, kept in the user's cache folder: no path of a machine goes into
an artifact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hfspec.integrity.verified_memory import default_memory, read_own, write_own
from hfspec.ir.artifact import Pointer
from hfspec.ir.canonical import digest_of

MOST = 1000


def remember(pointers: Sequence[Pointer], folders: Mapping[str, Path]) -> None:
    """Remember where weights lie. Nothing happens where that cannot be kept.

    Args:
        pointers: The pointers that name the weights.
        folders: Role -> the folder with its weights.
    """
    file, entries = _file(), _entries()
    roles = {pointer.role for pointer in pointers}
    new_entries = {key(pointers, role): str(folder.resolve()) for role, folder in folders.items() if role in roles}
    if file and any(entries.get(name) != place for name, place in new_entries.items()):
        # The newest stand last, and the oldest go.
        others = {name: place for name, place in entries.items() if name not in new_entries}
        write_own(file, dict([*others.items(), *new_entries.items()][-MOST:]))


def remembered(pointers: Sequence[Pointer], role: str) -> Path | None:
    """Recall where the weights of a role were last seen.

    Args:
        pointers: The pointers that name the weights.
        role: The role.

    Returns:
        The folder; None where none is remembered.
    """
    place = _entries().get(key(pointers, role))
    return Path(place) if place else None


def key(pointers: Sequence[Pointer], role: str) -> str:
    """Identify the weights of a role by their paths and digests, whatever the role is called.

    Args:
        pointers: The pointers that name the weights.
        role: The role.

    Returns:
        The key.
    """
    files = {file.path: file.sha256 for pointer in pointers if pointer.role == role for file in pointer.files}
    return digest_of(files)


def _entries() -> dict[str, str]:
    file = _file()
    return {str(name): str(place) for name, place in read_own(file).items()} if file else {}


def _file() -> Path | None:
    memory = default_memory()
    return memory.with_name("places.json") if memory else None
