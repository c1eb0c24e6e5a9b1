"""The imports of a Python file, read from its text: other files beside it, and packages. Nothing is run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

# As transformers has it: what a file imports only where a package is there, it can do without.
CHECKED_FOR = "available"
INIT = "__init__"


@dataclass(frozen=True, slots=True)
class Imports:
    """``files``: those that are imported and are there, by their paths; ``missing``: relative imports of what is not
    there, as they are written; ``packages``: the top names of what is imported absolutely and not part of Python.
    """

    files: frozenset[str]
    missing: tuple[str, ...]
    packages: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Import:
    """``level``: its leading dots, 0 for an absolute one. ``optional``: whether the file does without."""

    level: int
    module: str
    names: tuple[str, ...]
    optional: bool


def imports(source: bytes, path: str, root: str, there: Collection[str]) -> Imports:
    """The imports of the file ``path``, whose outermost package is the folder ``root`` (empty or ending with a slash).
    ``there``: the paths of every file that may be imported. Raises SyntaxError or ValueError when it is no Python.
    """
    statements = tuple(_statements(ast.parse(source), optional=False))
    files = {init for init in _packages_around(path, root) if init in there}
    missing = []
    for statement in statements:
        if statement.level:
            led_to = _led_to(statement, path, root, there)
            files |= led_to
            if not led_to and not statement.optional:
                missing.append(_written(statement))
    tops = {
        statement.module.partition(".")[0] for statement in statements if not (statement.level or statement.optional)
    }
    return Imports(frozenset(files - {path}), tuple(missing), frozenset(tops - sys.stdlib_module_names - {""}))


def _statements(node: ast.AST, *, optional: bool) -> Iterator[_Import]:
    if isinstance(node, ast.Import):
        yield from (_Import(0, alias.name, (), optional) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield _Import(node.level, node.module or "", tuple(alias.name for alias in node.names), optional)
    inside = optional or isinstance(node, ast.Try) or (isinstance(node, ast.If) and _asks_what_is_there(node.test))
    for child in ast.iter_child_nodes(node):
        yield from _statements(child, optional=inside)


def _asks_what_is_there(test: ast.expr) -> bool:
    names = (getattr(call.func, "id", getattr(call.func, "attr", "")) for call in _calls(test))
    return any(CHECKED_FOR in name for name in names) or ast.unparse(test).endswith("TYPE_CHECKING")


def _calls(test: ast.expr) -> Iterator[ast.Call]:
    return (node for node in ast.walk(test) if isinstance(node, ast.Call))


def _led_to(statement: _Import, path: str, root: str, there: Collection[str]) -> set[str]:
    """The files that a relative import runs; none when it leads out of the root or to nothing."""
    above = PurePosixPath(path.removeprefix(root)).parent.parts
    if statement.level - 1 > len(above):
        return set()
    base = root + "".join(f"{part}/" for part in above[: len(above) + 1 - statement.level])
    package = base + statement.module.replace(".", "/")
    files = {file for file in (f"{package}.py", f"{package}/{INIT}.py") if statement.module and file in there}
    inner = f"{package}/" if statement.module else base
    for name in statement.names:
        files |= {file for file in (f"{inner}{name}.py", f"{inner}{name}/{INIT}.py") if file in there}
    return files | {init for file in files for init in _packages_around(file, root) if init in there}


def _packages_around(path: str, root: str) -> Iterator[str]:
    """Files that Python runs before it: of the packages that it lies in, but for the root, which is an empty one."""
    parts = PurePosixPath(path.removeprefix(root)).parent.parts
    return (f"{root}{'/'.join(parts[: count + 1])}/{INIT}.py" for count in range(len(parts)))


def _written(statement: _Import) -> str:
    return f"from {'.' * statement.level}{statement.module} import {', '.join(statement.names)}"
