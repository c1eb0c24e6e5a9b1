"""The files of one composition: read once each, through the one YAML dialect, with nothing forbidden in them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from hfspec.errors import SpecError, UsageError
from hfspec.ir.artifact import MANIFEST_NAME, SPEC_SUFFIXES
from hfspec.ir.problem import Origin, Problem
from hfspec.language import defaults, forbidden, interpolation
from hfspec.language.discovery import search_root
from hfspec.language.yaml12 import MAX_BYTES, Document, read_yaml


def read_document(file: Path, shown: str) -> Document:
    """The document in a file that problems name as ``shown``.

    Raises SpecError for what the language does not allow, and UsageError when the file cannot be read.
    """
    document = read_yaml(_bytes(file), shown)
    problems = [*forbidden.faults(document.value), *defaults.faults(document.value)]
    if any(True for _ in interpolation.texts(document.value)):
        problems += interpolation.faults(document.value)
    if problems:
        raise SpecError(placed(problems, document))
    return document


def _bytes(file: Path) -> bytes:
    if (file / MANIFEST_NAME).is_file():
        raise UsageError(
            f"{file} is an artifact, not a spec; `hfspec inspect {file}` shows it, and {file / 'spec.yaml'} is the spec"
            " that it was compiled from"
        )
    if file.is_dir():
        raise UsageError(f"{file} is a folder; name one spec, such as {file / 'name.yaml'}")
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{file} cannot be read: {reason}") from error


def unreadable(file: Path, error: UsageError) -> Problem:
    """As a problem of the spec in ``file``: that it, or a base of it, cannot be read."""
    said = str(error).removeprefix(f"{file} ")
    message = f"{error}." if said == str(error) else f"The file {said}."
    return Problem("unreadable", message, Origin(file=str(file)))


def placed(problems: Iterable[Problem], document: Document) -> list[Problem]:
    """The problems with the positions that the document knows."""
    result = []
    for problem in problems:
        known = (document.origins.get(problem.path[:length]) for length in range(len(problem.path), -1, -1))
        result.append(replace(problem, origin=next(origin for origin in known if origin is not None)))
    return result


class Folder:
    """The search root of a spec: config names (``_base/text``) -> documents.

    ``name`` is the spec's own config name, ``primary`` its document.
    """

    def __init__(self, spec: Path, primary: Document | None = None) -> None:
        self.root = search_root(spec)
        self._shown_root = self.root if spec.is_absolute() else Path(os.path.relpath(self.root))
        absolute = Path(os.path.abspath(spec))  # noqa: PTH100 - resolve() would follow links out of the tree
        self.name = absolute.relative_to(self.root).with_suffix("").as_posix()
        self._documents: dict[str, Document] = {self.name: primary or read_document(spec, str(spec))}

    @property
    def primary(self) -> Document:
        """The spec's own document."""
        return self._documents[self.name]

    def document(self, name: str) -> Document:
        """The document of a config name; raises as read_document does, and KeyError when there is none."""
        if name not in self._documents:
            file = self._file(name)
            if file is None:
                raise KeyError(name)
            shown = os.path.normpath(self._shown_root / file.relative_to(self.root))
            self._documents[name] = read_document(file, shown)
        return self._documents[name]

    def has(self, name: str) -> bool:
        """Whether a config of this name exists."""
        return name in self._documents or self._file(name) is not None

    def is_group(self, name: str) -> bool:
        """Whether a config group of this name exists: a folder below the root with configs somewhere in it.

        A folder without any, such as the ``outputs/`` of some other tool, does not take the key ``outputs`` away.
        """
        return bool(name) and self._inside(name) and _holds_configs(self.root / name)

    def names(self, group: str) -> list[str]:
        """The configs in a group and the groups below it, sorted; a group's name ends in ``/``."""
        if group and not self.is_group(group):
            return []
        entries = sorted((self.root / group).iterdir())
        configs = [entry.stem for entry in entries if entry.suffix in SPEC_SUFFIXES and entry.is_file()]
        return configs + [f"{entry.name}/" for entry in entries if entry.is_dir()]

    def _file(self, name: str) -> Path | None:
        if not self._inside(name):
            return None
        candidates = [name] if name.endswith(SPEC_SUFFIXES) else [name + suffix for suffix in SPEC_SUFFIXES]
        return next((self.root / item for item in candidates if (self.root / item).is_file()), None)

    def _inside(self, name: str) -> bool:
        parts = name.split("/")
        return not name.startswith("/") and ".." not in parts and "\0" not in name and max(map(len, parts)) < 250


def _holds_configs(folder: Path) -> bool:
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if any(name.endswith(SPEC_SUFFIXES) for name in files):
            return True
    return False
