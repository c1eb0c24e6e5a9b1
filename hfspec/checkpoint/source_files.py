"""One source of a spec as the plan sees it: its pinned files, read small files and headers only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hfspec.errors import SpecError
from hfspec.ir.pins import FilePin, Reader, Resolved, SourcePin, WeightHeader
from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.tree import Tree


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """The files of one role, and where in the spec that role is written, for the problems found in them."""

    tree: Tree
    pin: SourcePin
    reader: Reader

    @property
    def role(self) -> str:
        return self.pin.role

    @property
    def key(self) -> KeyPath:
        return tuple(self.role.split("/"))

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(file.path for file in self.pin.files)

    def has(self, path: str) -> bool:
        return path in self.paths

    def file(self, path: str) -> FilePin:
        return next(file for file in self.pin.files if file.path == path)

    def header(self, path: str) -> WeightHeader:
        return self.reader.header(path)

    def content(self, path: str) -> bytes:
        return self.reader.small(path).read_bytes()

    def json(self, path: str) -> dict[str, Any]:
        """The JSON object in a small file; empty when the source has no such file.

        Raises SpecError, at the source's key, when the file is no JSON object.
        """
        if not self.has(path):
            return {}
        value = self.any_json(path)
        if not isinstance(value, dict):
            raise self.refusal("broken-checkpoint", f"{path} holds no JSON object", found=type(value).__name__)
        return value

    def any_json(self, path: str) -> Any:
        """The JSON value in a small file; raises SpecError when it is none."""
        try:
            return json.loads(self.content(path))
        except (UnicodeDecodeError, ValueError, RecursionError) as error:
            raise self.refusal("broken-checkpoint", f"{path} is not valid JSON: {error}") from error

    def problem(self, code: str, message: str, *, at: KeyPath = (), **texts: str) -> Problem:
        """A problem at this source's key, or at the key ``at``."""
        path = at or self.key
        return Problem(code, message, origin=self.tree.origin(path), path=path, **texts)

    def refusal(self, code: str, message: str, *, at: KeyPath = (), **texts: str) -> SpecError:
        """A SpecError of one problem, for what leaves nothing more to look at."""
        return SpecError((self.problem(code, message, at=at, **texts),))


def source_files(tree: Tree, resolved: Resolved, role: str) -> SourceFiles | None:
    """The files of a role, None when the spec has no such source."""
    pin = resolved.pins.source(role)
    return None if pin is None else SourceFiles(tree, pin, resolved.readers[role])
