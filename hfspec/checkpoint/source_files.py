"""One source of a spec as the plan sees it: its pinned files, read small files and headers only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from hfspec.errors import SpecError
from hfspec.ir.pins import FilePin, Reader, Resolved, SourcePin, WeightHeader
from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.text_files import AS_UTF8, NotUtf8Error, json_of, text_of
from hfspec.ir.tree import Tree

MODULES = "modules.json"  # the one JSON file of a checkpoint that holds a list
TEXTS = ("vocab.txt", "merges.txt", "bpe.codes")
# They may have tens of megabytes, and are parsed where the library fails over them.
VOCABULARIES = frozenset({"tokenizer.json", "vocab.json", "tekken.json"})
JSON_NAMES: Mapping[type, str] = MappingProxyType(
    {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false", type(None): "null"}
)


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """The files of one role, and where in the spec that role is written, for the problems found in them."""

    tree: Tree
    pin: SourcePin
    reader: Reader
    made: Mapping[str, bytes] = field(default_factory=dict)
    """Small files that the source lacks and the spec states, by their paths."""

    @property
    def role(self) -> str:
        return self.pin.role

    @property
    def key(self) -> KeyPath:
        return tuple(self.role.split("/"))

    @property
    def paths(self) -> tuple[str, ...]:
        return (*(file.path for file in self.pin.files), *self.made)

    def has(self, path: str) -> bool:
        return path in self.paths

    def file(self, path: str) -> FilePin:
        return next(file for file in self.pin.files if file.path == path)

    def header(self, path: str) -> WeightHeader:
        return self.reader.header(path)

    def content(self, path: str) -> bytes:
        return self.made[path] if path in self.made else self.reader.small(path).read_bytes()

    def json(self, path: str) -> dict[str, Any]:
        """The JSON object in a small file; empty when the source has no such file.

        Raises SpecError, at the source's key, when the file is no JSON object.
        """
        if not self.has(path):
            return {}
        value = self.any_json(path)
        if not isinstance(value, dict):
            raise self.refusal("broken-checkpoint", f"{path} holds no JSON object", found=JSON_NAMES[type(value)])
        return value

    def any_json(self, path: str) -> Any:
        """The JSON value in a small file; raises SpecError when it is none."""
        try:
            return json_of(self.content(path))
        except ValueError as error:
            raise self._unreadable(path, error) from error

    def check_text(self, path: str) -> None:
        """Raises SpecError when a small file is no text as the libraries read it."""
        try:
            text_of(self.content(path))
        except ValueError as error:
            raise self._unreadable(path, error) from error

    def _unreadable(self, path: str, error: ValueError) -> SpecError:
        remedy = AS_UTF8 if isinstance(error, NotUtf8Error) else "mend the file, or fetch it again"
        return self.refusal("broken-checkpoint", f"{path} {error}", remedy=remedy)

    def problem(self, code: str, message: str, *, at: KeyPath = (), **texts: str) -> Problem:
        """A problem at this source's key, or at the key ``at``."""
        path = at or self.key
        return Problem(code, message, origin=self.tree.origin(path), path=path, **texts)

    def refusal(self, code: str, message: str, *, at: KeyPath = (), **texts: str) -> SpecError:
        """A SpecError of one problem, for what leaves nothing more to look at."""
        return SpecError((self.problem(code, message, at=at, **texts),))


def refuse_unreadable(sources: Iterable[SourceFiles]) -> None:
    """Raises SpecError with each JSON or text file that the libraries cannot read, by its name; they would tell none,
    or blame another file.
    """
    problems: list[Problem] = []
    for files in sources:
        for path in files.paths:
            try:
                _check(files, path)
            except SpecError as error:
                problems.extend(error.problems)
    if problems:
        raise SpecError(tuple(problems))


def unreadable_vocabularies(files: SourceFiles, folder: str) -> Iterator[Problem]:
    """Each large file of a tokenizer that is no JSON object."""
    for name in sorted(VOCABULARIES):
        try:
            files.json(f"{folder}{name}")
        except SpecError as error:
            yield from error.problems


def _check(files: SourceFiles, path: str) -> None:
    name = PurePosixPath(path).name
    if name in VOCABULARIES or name in TEXTS or name.endswith(".jinja"):
        files.check_text(path)
    elif name == MODULES:
        files.any_json(path)
    elif name.endswith(".json"):
        files.json(path)


def source_files(tree: Tree, resolved: Resolved, role: str) -> SourceFiles | None:
    """The files of a role, None when the spec has no such source."""
    pin = resolved.pins.source(role)
    return None if pin is None else SourceFiles(tree, pin, resolved.readers[role])
