"""The table of problem codes is whole: each code can occur, and no other does."""

from __future__ import annotations

import ast
from pathlib import Path

import hfspec
from hfspec.language.codes import CODES

LANGUAGE = Path(hfspec.__file__).parent / "language"
MAKERS = {"Problem", "_report", "_stop", "_refuse", "_problem"}


def written_codes() -> set[str]:
    """Every text of a code's form that stands as an argument, or in a choice, where a problem is made."""
    found: set[str] = set()
    for file in LANGUAGE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in MAKERS:
                found |= codes_in(node)
    return found


def codes_in(call: ast.Call) -> set[str]:
    place = 2 if getattr(call.func, "id", "") == "_problem" else 0
    argument = call.args[place] if len(call.args) > place else None
    parts = [argument.body, argument.orelse] if isinstance(argument, ast.IfExp) else [argument]
    parts += [part for nested in parts if isinstance(nested, ast.IfExp) for part in (nested.body, nested.orelse)]
    return {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def test_every_code_that_is_written_is_in_the_table() -> None:
    assert written_codes() <= set(CODES)


def test_every_code_in_the_table_is_written() -> None:
    text = "\n".join(file.read_text(encoding="utf-8") for file in LANGUAGE.glob("*.py") if file.name != "codes.py")
    text += (LANGUAGE.parent / "stages" / "validate.py").read_text(encoding="utf-8")
    assert [code for code in CODES if f'"{code}"' not in text] == []
    assert len(written_codes()) >= 30
