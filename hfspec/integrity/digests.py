"""Weight files held against the digests that pin them, and against themselves once they were read."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from hfspec.errors import VerificationError
from hfspec.integrity.verified_memory import Memory, State, is_young, state_of
from hfspec.ir.progress import Progress, Silent

CHUNK = 1 << 20
OTHER_CONTENT = "has other content"


def size_fault(actual: int, expected: int) -> str:
    """Compare the size of a file.

    Args:
        actual: Its bytes.
        expected: The bytes that it should have.

    Returns:
        What is wrong; empty where nothing is.
    """
    return "" if actual == expected else f"has {actual} bytes instead of {expected}"


@dataclass
class DigestCheck:
    """``memory``: what was read before; None trusts sizes. ``states``: what each file was when it was found right, with
    its digest; ``began``: when the first was looked at, in ns.
    """

    memory: Memory | None
    states: dict[Path, tuple[State, str]] = field(default_factory=dict)
    began: int = field(default_factory=time.time_ns)

    def holds(self, file: Path, sha256: str) -> bool:
        """Hold a file against its digest.

        Args:
            file: The file.
            sha256: The digest that it should have, in hex.

        Returns:
            Whether it has it.

        Raises:
            OSError: It cannot be read.
        """
        if self.memory is None:
            return True
        with file.open("rb", buffering=0) as stream:
            state = state_of(os.fstat(stream.fileno()))
            is_right = digest(stream, self.memory) == sha256
        if is_right:
            self.states[file.resolve()] = (state, sha256)
        return is_right

    def check_unchanged(self) -> None:
        """For those who have read the files since: raises VerificationError, naming each that was written to, or is
        another, since it was found right.
        """
        differing_files = [
            file for file, (state, sha256) in self.states.items() if not self._is_same(file, state, sha256)
        ]
        if differing_files:
            lines = "\n".join(f"  {file}" for file in differing_files)
            raise VerificationError(
                f"weights were changed while they were read; once nothing writes to them, run this again:\n{lines}",
                [file.name for file in differing_files],
            )

    def _is_same(self, file: Path, state: State, sha256: str) -> bool:
        """A file so young that its times may not show a change is read again."""
        try:
            if state_of(file.stat()) != state:
                return False
            if not is_young(state, self.began):
                return True
            with file.open("rb", buffering=0) as stream:
                return digest(stream, Memory(None)) == sha256
        except OSError:
            return False


def digest(file: FileIO, memory: Memory, progress: Progress | None = None) -> str:
    """Digest an open file.

    Args:
        file: The file.
        memory: The digests of files that were read before; the file's is remembered there.
        progress: Told of what is read.

    Returns:
        sha256 in hex, as remembered, or of the bytes from the beginning.

    Raises:
        OSError: The file cannot be read.
    """
    before = os.fstat(file.fileno())
    stored_digest = memory.digest(before)
    if stored_digest is not None:
        return stored_digest
    start, sha256, reporter = time.time_ns(), hashlib.sha256(), progress or Silent()
    buffer = memoryview(bytearray(CHUNK))
    while count := file.readinto(buffer):
        sha256.update(buffer[:count])
        reporter.advance(count)
    if state_of(os.fstat(file.fileno())) == state_of(before):
        memory.add(before, sha256.hexdigest(), start)
    return sha256.hexdigest()
