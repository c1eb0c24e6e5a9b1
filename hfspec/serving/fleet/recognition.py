"""Whether a file is a fleet file, by its top-level keys alone."""

from __future__ import annotations

from pathlib import Path

from hfspec.comparison.diff import LOCK, file_of
from hfspec.errors import SpecError
from hfspec.language.parts import FLEET_KEYS, NEEDED
from hfspec.language.yaml12 import MAX_BYTES, read_yaml
from hfspec.serving.fleet.kinds import FLEET


def is_fleet(path: Path) -> bool:
    """Whether a file has ``models`` or ``server`` at its top level, and none of the keys that a spec needs. False for a
    file that cannot be read.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError:
        return False
    if not any(key.encode() in data for key in FLEET_KEYS):
        return False
    keys = _keys(data)
    return bool(keys & FLEET_KEYS) and not keys & set(NEEDED)


def is_fleet_side(side: str) -> bool:
    """Whether a side of a comparison is a fleet file, also as ``FILE@REVISION``; raises UsageError as diff does."""
    if Path(side).is_dir() or LOCK in side:
        return False
    if not Path(side).exists() and "@" not in side:
        return False
    with file_of(side) as (file, _):
        return is_fleet(file)


def _keys(data: bytes) -> set[str]:
    """The keys at the top level; for a text that is no YAML, the words that lines begin with."""
    try:
        return set(read_yaml(data, "", FLEET).value)
    except SpecError:
        return {line.partition(b":")[0].decode("ascii", "replace") for line in data.splitlines() if b":" in line}
