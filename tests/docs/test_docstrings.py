"""A docstring begins with what it describes, and never with a clause in the place of a noun."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "hfspec"
CLEAN = (
    "*.py",
    *(
        f"{room}/**/*.py"
        for room in (
            *("artifact", "batch", "checkpoint", "cli", "comparison", "export", "formats", "inputs", "integrity"),
            *("interop", "ir", "language", "libraries/onnxruntime_genai", "libraries/sentence_transformers"),
            *("libraries/transformers", "library_calls", "locking", "report", "runtime", "serving", "settings"),
            *("sources", "stages", "tasks"),
        )
    ),
)
OPEN = frozenset(
    {
        *("checkpoint/steps.py", "checkpoint/weights/weight_formats.py", "ir/lock.py", "ir/plan.py", "ir/spec_keys.py"),
        "libraries/onnxruntime_genai/graph.py",
        *("language/weight_formats.py", "locking/comparison.py", "report/artifact.py", "report/sections.py"),
        *("sources/selection.py", "tasks/weight_formats.py"),
    }
)
BEGINNINGS = ("What ", "Of ", "Whose ", "The same of ")


def docstrings(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of each docstring, those under fields included."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(docstring))):
                yield node.lineno, docstring.strip()


def clauses(text: str) -> list[str]:
    return [f"{line}: {found.splitlines()[0]}" for line, found in docstrings(text) if found.startswith(BEGINNINGS)]


@pytest.mark.parametrize("pattern", CLEAN)
def test_docstrings_begin_with_what_they_describe(pattern):
    files = {file.relative_to(PACKAGE).as_posix(): file.read_text() for file in PACKAGE.glob(pattern)}
    assert files
    assert {file: faults for file, text in files.items() if file not in OPEN and (faults := clauses(text))} == {}


def test_docstrings_of_the_benchmarks_do_too():
    files = {str(file): file.read_text() for file in (PACKAGE.parent / "benchmarks").rglob("*.py")}
    assert files
    assert {file: faults for file, text in files.items() if (faults := clauses(text))} == {}


def test_docstrings_of_modules_classes_functions_and_fields_are_read():
    text = '"""What it is."""\nclass Box:\n    """Of wood."""\n    size: int\n    """Whose size."""\n'
    assert clauses(text) == ["1: What it is.", "3: Of wood.", "5: Whose size."]
    assert clauses('def size():\n    """\n    The same of a box.\n    """\n') == ["2: The same of a box."]
    assert clauses('TEXT = "What it is."\n"""The size. What it is."""\n') == []
