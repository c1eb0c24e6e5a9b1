"""One thing that is wrong with a spec: where, what was expected, what was found, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from hfspec.redaction import redacted

KeyPath: TypeAlias = tuple[str | int, ...]


def dotted(path: KeyPath) -> str:
    """A key's path as Hydra writes it: ``golden[0].input``; the empty path is ``(top level)``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text or "(top level)"


def one_of(names: Iterable[str]) -> str:
    """The expectation where any of these names will do: each of them once, sorted."""
    return "one of " + ", ".join(sorted(set(names)))


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a value was written: a position in a file, or an override given on the command line.

    ``line`` and ``column`` count from 1; 0 stands for "the file as a whole".
    """

    file: str = ""
    line: int = 0
    column: int = 0
    override: str = ""

    def __str__(self) -> str:
        if self.override:
            return f"command line ({self.override})"
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding. ``message`` is one whole sentence; the other texts may be empty.

    ``code`` is a stable kebab-case name of the kind of problem (``unknown-key``, ``wrong-type``, …), listed in
    docs/errors.md. ``nearest`` is the nearest valid name where a name was unknown.
    """

    code: str
    message: str
    origin: Origin = Origin()
    path: KeyPath = ()
    expected: str = ""
    found: str = ""
    nearest: str = ""
    remedy: str = ""

    def redacted(self) -> Problem:
        """Itself without the passwords and tokens that its texts quote."""
        return replace(
            self,
            message=redacted(self.message),
            path=tuple(redacted(part) if isinstance(part, str) else part for part in self.path),
            origin=replace(self.origin, override=redacted(self.origin.override)),
            expected=redacted(self.expected),
            found=redacted(self.found),
            nearest=redacted(self.nearest),
            remedy=redacted(self.remedy),
        )

    def __str__(self) -> str:
        place = f"{self.origin}: " if str(self.origin) else ""
        parts = [f"{place}{dotted(self.path)}: {self.message}"]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.found:
            parts.append(f"found {self.found}")
        if self.nearest:
            parts.append(f"did you mean {self.nearest!r}?")
        if self.remedy:
            parts.append(self.remedy)
        return "; ".join(parts)
