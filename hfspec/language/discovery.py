"""Which files are specs, and where the configs that a spec extends are looked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from hfspec.errors import UsageError
from hfspec.ir.artifact import MANIFEST_NAME, SPEC_SUFFIXES

ROOT_NAME = "specs"


def spec_files(paths: Sequence[Path]) -> list[Path]:
    """List the specs that paths name. A file is one; a folder stands for every ``*.yaml`` and ``*.yml`` below it.

    Below a folder, a file or folder whose name begins with ``_`` holds parts that specs extend, not specs, and one that
    begins with ``.`` is hidden; both are left out, as are artifacts, pipes and devices, and folders behind links.

    Args:
        paths: Files and folders.

    Returns:
        The specs, sorted, each once.

    Raises:
        UsageError: A path does not exist, or a folder has no spec.
    """
    files: dict[Path, None] = {}
    for path in paths:
        files.update(dict.fromkeys(_below(path) if path.is_dir() else _file(path)))
    return list(files)


def _file(path: Path) -> list[Path]:
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    return [path]


def _below(folder: Path) -> list[Path]:
    specs = sorted(_walk(folder))
    if not specs:
        raise UsageError(f"{folder} holds no spec (a .yaml or .yml file whose name does not begin with _)")
    return specs


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if counts(name) and not Path(parent, name, MANIFEST_NAME).is_file()]
        specs = (Path(parent, name) for name in files if name.endswith(SPEC_SUFFIXES) and counts(name))
        yield from (file for file in specs if file.is_file() or not file.exists())  # a dead link is to be told of


def counts(name: str) -> bool:
    """Whether a file or folder of this name holds specs, and neither parts of them nor anything hidden."""
    return not name.startswith(("_", "."))


def search_root(spec: Path) -> Path:
    """Find the folder where config groups and ``defaults:`` are looked up.

    Args:
        spec: The spec.

    Returns:
        The nearest folder named ``specs`` above the spec, as an absolute path, so that ``specs/team/x.yaml`` can extend
        ``/_base/y``; where there is none, the spec's own folder.
    """
    file = Path(os.path.abspath(spec))  # noqa: PTH100 - resolve() would follow links out of the tree
    return next((parent for parent in file.parents if parent.name == ROOT_NAME), file.parent)
