"""The wheel and the sdist, where the repository is not: what is in them, and the README's first commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from email.parser import HeaderParser
from pathlib import Path

import pytest

import hfspec

ROOT = Path(__file__).parents[2]
LIMIT = 900  # seconds, of the README's commands on a machine that does much else
# What setuptools reads, without caches and what was built before.
SOURCES = ("hfspec", "docs", "examples", "schemas", "specs", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE",
           "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile", "constraints.txt")  # fmt: skip
Python = Callable[..., str]


def run(*command: object, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, text=True, capture_output=True, timeout=LIMIT,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder named hfspec, as a clone is, with the working tree's files."""
    folder = tmp_path_factory.mktemp("above") / "hfspec"
    folder.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def dist(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the wheel and the sdist: those of ``make dist``, else built here."""
    if "HFSPEC_DIST" in os.environ:
        return ROOT / os.environ["HFSPEC_DIST"]
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, clone, cwd=folder)
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> Callable[[Path, list[str]], Path]:
    """``environment(package, options)``: the folder of commands where the package is installed by pip without a
    network. What it requires is found where these tests found it, but no hfspec is.
    """

    def make(package: Path, *options: str) -> Path:
        venv = tmp_path / "venv"
        run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path)
        (site,) = venv.glob("lib/python*/site-packages")
        # Folders in a .pth file have their own .pth files left alone, and with them an editable install.
        others = [path for path in sys.path if Path(path).name == "site-packages"]
        (site / "required.pth").write_text("\n".join(others) + "\n")
        python = venv / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install", "-q"]
        run(*pip, "--no-deps", "--no-index", "--no-build-isolation", *options, package, cwd=tmp_path)
        return venv / "bin"

    return make


def test_what_the_wheel_holds(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    assert wheel.name == f"hfspec-{hfspec.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = HeaderParser().parsestr(archive.read(f"hfspec-{hfspec.__version__}.dist-info/METADATA").decode())
    tree = {path.relative_to(ROOT).as_posix() for path in (ROOT / "hfspec").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts}  # fmt: skip
    assert tree == {name for name in names if name.startswith("hfspec/")}  # schemas, the page, py.typed: every file
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.partition("/")[0] for name in names} == {"hfspec", f"hfspec-{hfspec.__version__}.dist-info"}
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_payload().startswith("# hfspec")


def test_what_the_sdist_holds(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "LICENSE",
        "specs/minilm.yaml",
        "schemas/spec.schema.json",
        "docs/spec.md",
        "examples/quickstart.py",
    } <= names
    assert not [name for name in names if name.startswith("tests/") or "__pycache__" in name]


@pytest.mark.skipif("HFSPEC_DIST" not in os.environ, reason="half a minute; make dist runs it")
def test_the_first_commands_of_the_readme(dist: Path, environment, tmp_path: Path) -> None:
    """In the order and the words in which they stand there, with the specs that the sdist has."""
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    commands = environment(wheel)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "sdist", filter="data")
    (folder,) = (tmp_path / "sdist").iterdir()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder / "specs", elsewhere / "specs")
    (block,) = [text for text in re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
                if "hfspec compile" in text]  # fmt: skip
    script = f"set -e\nPATH={commands}:$PATH\n{block}"
    said = run("bash", "-c", script, cwd=elsewhere)
    assert (elsewhere / "build" / "minilm" / "predictor.py").is_file()
    assert len(re.findall(r"build/minilm$", said, re.MULTILINE)) >= 1
    where = run(commands / "python", "-c", "import hfspec; print(hfspec.__file__)", cwd=elsewhere)
    assert where.startswith(str(tmp_path / "venv"))


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_a_clone_named_hfspec_does_not_hide_the_package_from_the_folder_above(kind, clone, dist, environment) -> None:
    python = (environment(*dist.glob("*.whl")) if kind == "wheel" else environment(clone, "-e")) / "python"
    program = "import hfspec, hfspec.errors; print(hfspec.__file__, hfspec.__version__, hfspec.UsageError.__name__)"
    file, version, name = run(python, "-c", program, cwd=clone.parent).split()
    assert (version, name) == (hfspec.__version__, "UsageError")
    assert Path(file).parent == (clone / "hfspec" if kind == "editable" else Path(file).parent)
