"""Sizes and counts in words."""

from __future__ import annotations


def in_bytes(count: int) -> str:
    """``91.0 MB``: decimal units, as hubs and disks state sizes."""
    return f"{count} B" if count < 1000 else f"{_scaled(count, ('kB', 'MB', 'GB', 'TB'))}"


def in_count(count: int) -> str:
    """``22.7 M``: how many parameters a model has."""
    return str(count) if count < 1000 else _scaled(count, ("k", "M", "B", "T"))


def _scaled(count: int, units: tuple[str, ...]) -> str:
    size, last = count / 1000, units[-1]
    for unit in units:
        if size < 999.95 or unit == last:
            return f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("the last unit always answers")
