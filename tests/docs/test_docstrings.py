"""A docstring begins with what it describes, and never with a clause in the place of a noun."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "hfspec"
BEGINNINGS = ("What ", "Of ", "Whose ", "The same of ")


def docstrings(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of each docstring, those under fields included."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(docstring))):
                yield node.lineno, docstring.strip()


def clauses(text: str) -> list[str]:
    return [f"{line}: {found.splitlines()[0]}" for line, found in docstrings(text) if found.startswith(BEGINNINGS)]


@pytest.mark.parametrize("folder", [PACKAGE, PACKAGE.parent / "benchmarks"], ids=lambda folder: folder.name)
def test_docstrings_begin_with_what_they_describe(folder):
    files = {str(file): file.read_text() for file in folder.rglob("*.py")}
    assert files
    assert {file: faults for file, text in files.items() if (faults := clauses(text))} == {}


def test_docstrings_of_modules_classes_functions_and_fields_are_read():
    text = '"""What it is."""\nclass Box:\n    """Of wood."""\n    size: int\n    """Whose size."""\n'
    assert clauses(text) == ["1: What it is.", "3: Of wood.", "5: Whose size."]
    assert clauses('def size():\n    """\n    The same of a box.\n    """\n') == ["2: The same of a box."]
    assert clauses('TEXT = "What it is."\n"""The size. What it is."""\n') == []
