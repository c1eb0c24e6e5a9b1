"""The files and folders that a fleet names."""

from __future__ import annotations

import os
from pathlib import Path

from hfspec.ir.problem import KeyPath
from hfspec.ir.tree import Tree

SERVER_PLACES: tuple[KeyPath, ...] = (
    ("server", "unix_socket"),
    ("server", "tls", "certificate"),
    ("server", "tls", "key"),
    ("server", "api_keys", "file"),
)
MODEL_PLACES = ("artifact", "signature_key")


def place_of(tree: Tree, path: KeyPath) -> Path | None:
    """The absolute path of what the fleet names there, from the folder of the file that names it, from the current one
    in an override; None where it names nothing. A link stays a link, so that it may lead elsewhere after a reload.
    """
    value = tree.at(path)
    if not isinstance(value, str) or not value or "\0" in value:
        return None
    origin = tree.origin(path)
    base = Path() if origin.override else Path(origin.file or tree.file).parent
    return Path(os.path.abspath(base / Path(value).expanduser()))  # noqa: PTH100 - resolve() would follow links
