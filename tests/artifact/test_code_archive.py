"""What an artifact's code/hfspec.zip holds is whole: each module that one of its modules imports is there too."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from hfspec.artifact.texts import PREDICTOR_TEXT, code_archive
from hfspec.ir.source_kinds import SOURCE_KINDS

COMPILED = """
import json, runpy, sys
compiled = []
sys.addaudithook(lambda event, told: compiled.append(str(told[1])) if event == "compile" else None)
runpy.run_path(sys.argv[1], run_name="predictor")
files = [module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "hfspec"]
print(json.dumps([files, [name for name in compiled if "hfspec.zip" in name]]))
"""


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


def test_the_predictor_compiles_each_module_once_and_knows_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/hfspec.zip").write_bytes(code_archive())
    (tmp_path / "predictor.py").write_text(PREDICTOR_TEXT)
    done = subprocess.run(
        [sys.executable, "-c", COMPILED, str(tmp_path / "predictor.py")],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    files, compiled = json.loads(done.stdout)
    assert str(tmp_path / "code/hfspec.zip/hfspec/runtime/command.py") in files
    assert str(tmp_path / "code/hfspec.zip/hfspec/runtime/__init__.py") in files
    assert sorted(compiled) == sorted(files)
