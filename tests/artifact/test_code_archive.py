"""What an artifact's code/hfspec.zip holds is whole: each module that one of its modules imports is there too."""

from __future__ import annotations

import ast
import io
import zipfile
from collections.abc import Iterator

from hfspec.artifact.texts import code_archive
from hfspec.ir.source_kinds import SOURCE_KINDS


def modules(archive: zipfile.ZipFile) -> dict[str, str]:
    """Module -> its text."""
    paths = {name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name for name in archive.namelist()}
    return {module: archive.read(path).decode() for module, path in paths.items()}


def imported(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The modules of hfspec that a module imports when it runs, each with the names taken of it."""
    tree = ast.parse(text)
    for_types = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    left_out = {id(child) for node in for_types for child in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in left_out and (node.module or "").startswith("hfspec"):
            yield str(node.module), tuple(alias.name for alias in node.names)


def test_every_module_that_is_imported_is_in_the_archive() -> None:
    with zipfile.ZipFile(io.BytesIO(code_archive())) as archive:
        held = modules(archive)
    assert "hfspec.runtime.load" in held
    missing = {
        f"{module} of {importer}"
        for importer, text in held.items()
        for module, _ in imported(text)
        if module not in held
    }
    assert missing == set()


def test_a_reference_artifact_can_open_every_kind_of_source() -> None:
    with zipfile.ZipFile(io.BytesIO(code_archive())) as archive:
        held = modules(archive)
    assert {kind.opened_by.partition(":")[0] for kind in SOURCE_KINDS.values()} <= set(held)
