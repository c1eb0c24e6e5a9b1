"""Plain text tables that read well in a terminal and in a log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def aligned(rows: Iterable[Sequence[str]], indent: str = "  ") -> str:
    """Write rows as lines, each column as wide as its widest cell.

    Args:
        rows: The rows, each a cell a column.
        indent: What each line begins with.

    Returns:
        The lines; the last column is not padded.
    """
    cells = [tuple(row) for row in rows]
    if not cells:
        return ""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = (indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def section(title: str, body: str) -> str:
    """Title a block of lines.

    Args:
        title: Its title.
        body: Its lines.

    Returns:
        The block; empty when there is nothing to say.
    """
    return f"{title}\n{body}\n" if body else ""


def plain_text(text: str) -> str:
    """The text with what a terminal would act on made visible."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
