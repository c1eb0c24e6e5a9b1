"""The files of one composition: read once each, through the one YAML dialect, without what is forbidden in them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hfspec.errors import SpecError, UsageError
from hfspec.ir.artifact import MANIFEST_NAME, SPEC_SUFFIXES
from hfspec.ir.frozen import FrozenDict, thaw
from hfspec.ir.problem import KeyPath, Origin, Problem
from hfspec.language import defaults, forbidden, interpolation
from hfspec.language.discovery import search_root
from hfspec.language.kind import SPEC, DocumentKind
from hfspec.language.provenance import MISSING
from hfspec.language.yaml12 import MAX_BYTES, Document, read_yaml

# The kinds of problem of a value, in whose place the document has ``???``.
WITHHELD = frozenset(
    {"alias", "control-character", "forbidden-key", "integer-size", "interpolation", "not-finite", "not-json"}
)


def read_document(file: Path, name: str, kind: DocumentKind = SPEC) -> Document:
    """Read the document in a file, without what the language does not allow in it.

    Args:
        file: The file.
        name: How problems name the file.
        kind: The kind of document: a spec, or another.

    Returns:
        The document. A value that is not allowed is ``???`` in it, a key or an entry of ``defaults`` is left out, and
        each is among its problems.

    Raises:
        SpecError: Nothing of the file can be read as a document.
        UsageError: The file cannot be read.
    """
    document = read_yaml(_bytes(file, kind), name, kind)
    faults = [*forbidden.faults(document.value, kind), *defaults.faults(document.value, kind)]
    referring = list(interpolation.texts(document.value))
    faults += interpolation.faults(document.value, kind) if referring else ()
    paths = {problem.path for problem in document.problems}
    problems = (*document.problems, *placed((problem for problem in faults if problem.path not in paths), document))
    if not problems:
        return document
    withheld = [problem.path for problem in problems if problem.code in WITHHELD or problem.path[:1] == ("defaults",)]
    if interpolation.are_too_many(referring, kind):  # their values could grow without end
        withheld += [path for path, _ in referring]
    return without(replace(document, problems=problems), withheld)


def without(document: Document, paths: Iterable[KeyPath]) -> Document:
    """Take values out of a document.

    Args:
        document: The document.
        paths: The paths of the values.

    Returns:
        The document with ``???`` for each of these values, and without such keys and entries of its defaults list that
        the language does not allow.
    """
    value = thaw(document.value)
    entries = {path[1] for path in paths if path[:1] == ("defaults",) and len(path) > 1}
    for path in paths:
        if path[:1] != ("defaults",):
            _withhold(value, path)
        elif len(path) == 1:
            value.pop("defaults", None)
    rest = [index for index in range(len(value.get("defaults", ()))) if index not in entries]
    if not entries or "defaults" not in value:
        return replace(document, value=FrozenDict(value))
    value["defaults"] = [value["defaults"][index] for index in rest]
    origins = {path: at for path, at in document.origins.items() if path[:1] != ("defaults",) or len(path) == 1}
    for place, index in enumerate(rest):
        origins["defaults", place] = document.origins["defaults", index]
    return replace(document, value=FrozenDict(value), origins=origins)


def _withhold(value: Any, path: KeyPath) -> None:
    """Put ``???`` in the place of a value, where there is one; take a key out that is itself not allowed."""
    for part in path[:-1]:
        value = _part(value, part)
    if not path or _part(value, path[-1]) is None:
        return
    key = str(path[-1])
    if isinstance(value, dict) and (key in forbidden.INSTANTIATION or interpolation.MARK in key):
        del value[key]
    else:
        value[path[-1]] = MISSING


def _part(value: Any, part: str | int) -> Any:
    """The item of a mapping or list; None where it has none, or none but null."""
    if isinstance(value, dict):
        return value.get(part)
    return value[part] if isinstance(value, list) and isinstance(part, int) and part < len(value) else None


def _bytes(file: Path, kind: DocumentKind) -> bytes:
    if (file / MANIFEST_NAME).is_file():
        raise UsageError(
            f"{file} is an artifact, not a {kind.noun}; `hfspec inspect {file}` shows it, and {file / 'spec.yaml'} is"
            " the spec that it was compiled from"
        )
    if file.is_dir():
        raise UsageError(f"{file} is a folder; name one {kind.noun}, such as {file / 'name.yaml'}")
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{file} cannot be read: {reason}") from error


def unreadable(file: Path, error: UsageError) -> Problem:
    """Say as a problem of a spec that it, or a base of it, cannot be read.

    Args:
        file: The spec's file.
        error: What the system said.

    Returns:
        The problem.
    """
    text = str(error).removeprefix(f"{file} ")
    message = f"{error}." if text == str(error) else f"The file {text}."
    return Problem("unreadable", message, Origin(file=str(file)))


def placed(problems: Iterable[Problem], document: Document) -> list[Problem]:
    """Give problems the positions that a document knows.

    Args:
        problems: The problems.
        document: The document.

    Returns:
        The problems with their positions.
    """
    result = []
    for problem in problems:
        origins = (document.origins.get(problem.path[:length]) for length in range(len(problem.path), -1, -1))
        result.append(replace(problem, origin=next(origin for origin in origins if origin is not None)))
    return result


class Folder:
    """The search root of a spec: config names (``_base/text``) -> documents.

    ``name`` is the spec's own config name, ``primary`` its document, ``kind`` what it and the others are.
    """

    def __init__(self, spec: Path, primary: Document | None = None, kind: DocumentKind = SPEC) -> None:
        self.kind = kind
        self.root = search_root(spec)
        self._shown_root = self.root if spec.is_absolute() else Path(os.path.relpath(self.root))
        absolute = Path(os.path.abspath(spec))  # noqa: PTH100 - resolve() would follow links out of the tree
        self.name = absolute.relative_to(self.root).with_suffix("").as_posix()
        self._documents: dict[str, Document] = {self.name: primary or read_document(spec, str(spec), kind)}
        self._unread: list[Problem] = []

    @property
    def primary(self) -> Document:
        """The spec's own document."""
        return self._documents[self.name]

    def document(self, name: str) -> Document:
        """Read the document of a config name.

        Args:
            name: The config's name.

        Returns:
            The document; an empty one where nothing of it can be read.

        Raises:
            UsageError: Its file cannot be read.
            KeyError: There is no such config.
        """
        if name not in self._documents:
            file = self._file(name)
            if file is None:
                raise KeyError(name)
            path = os.path.normpath(self._shown_root / file.relative_to(self.root))
            self._documents[name] = self._read(file, path)
        return self._documents[name]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems of the documents read so far, each by itself."""
        return (*self._unread, *(problem for document in self._documents.values() for problem in document.problems))

    def leave_out(self, origin: Origin) -> bool:
        """Go on without an entry of a defaults list, else without the whole list of the file that it is in.

        Args:
            origin: Where the entry stands.

        Returns:
            Whether there was such an entry or list.
        """
        for name, document in self._documents.items():
            places = [path for path, place in document.origins.items() if path[:1] == ("defaults",) and place == origin]
            whole = [("defaults",)] if origin.file == document.file and "defaults" in document.value else []
            if paths := sorted(places, key=len)[-1:] or whole:
                self._documents[name] = without(document, paths)
                return True
        return False

    def _read(self, file: Path, path: str) -> Document:
        try:
            return read_document(file, path, self.kind)
        except SpecError as error:
            self._unread += error.problems
            return Document(path, FrozenDict({}), {(): Origin(path)}, {}, "# @package _global_")

    def has(self, name: str) -> bool:
        """Whether a config of this name exists."""
        return name in self._documents or self._file(name) is not None

    def is_group(self, name: str) -> bool:
        """Tell whether a config group exists: a folder below the root with configs somewhere in it.

        A folder without any, such as the ``outputs/`` of some other tool, does not take the key ``outputs`` away.

        Args:
            name: The group's name.

        Returns:
            Whether it exists.
        """
        return bool(name) and self._inside(name) and _holds_configs(self.root / name)

    def names(self, group: str) -> list[str]:
        """List the configs in a group and the groups below it.

        Args:
            group: The group's name.

        Returns:
            The names, sorted; a group's name ends in ``/``.
        """
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


class Alone(Folder):
    """The folder of a document that was not read from a file: it has nothing beside it."""

    def _inside(self, name: str) -> bool:
        return False


def _holds_configs(folder: Path) -> bool:
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if any(name.endswith(SPEC_SUFFIXES) for name in files):
            return True
    return False
