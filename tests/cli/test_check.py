"""hfspec check: one command over a repository of specs, and hfspec diff between two revisions of a folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import click
import pytest

import hfspec
from hfspec.cli.app import app

SPEC = """spec_version: 1
library: transformers
task: text-classification
model: {path: ../model}
"""
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """``command(*arguments)``: the exit code of ``hfspec``, and what it prints."""

    def run(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        try:
            code = app(list(map(str, arguments)), standalone_mode=False)
        except click.exceptions.Exit as left:
            code = left.exit_code
        return code or 0, capsys.readouterr().out

    return run


def git(*arguments: str) -> None:
    names = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", *names, *arguments], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, checkpoint: Callable[[str], Path]) -> Path:
    """A repository with a checkpoint, a base and two locked specs. Never write into it: copy it."""
    root = tmp_path_factory.mktemp("locked")
    shutil.copytree(checkpoint("bert-sentiment"), root / "model")
    (root / "specs").mkdir()
    for name in ("one", "two"):
        spec = root / "specs" / f"{name}.yaml"
        spec.write_text(SPEC)
        hfspec.lock(spec)
    (root / "specs" / "_base").mkdir()
    (root / "specs" / "_base" / "broken.yaml").write_text("nothing: [")
    return root


@pytest.fixture
def repository(locked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, a copy of it with one commit on main."""
    root = Path(shutil.copytree(locked, tmp_path / "repository"))
    monkeypatch.chdir(root)
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    return root


def test_all_good(repository, command) -> None:
    assert command("check") == (0, "2 files checked, all good\n")
    assert command("check", "specs/one.yaml", "--base", "main")[1] == (
        "1 file checked, all good; since main: nothing changed\n"
    )


def test_a_missing_lock_a_wrong_spec_and_a_stale_lock_are_all_told(repository, command) -> None:
    Path("specs/one.yaml.lock").unlink()
    code, said = command("check")
    assert code == 5
    assert "specs/one.yaml:1:1: it has no lock" in said
    Path("specs/two.yaml").write_text(Path("specs/two.yaml").read_text() + "dtype: bfloat16\n")
    Path("specs/three.yaml").write_text("spec_version: 1\ntask: nonsense\n")
    code, said = command("check", "--format", "github")
    assert code == 1
    for part in ("::error file=specs/one.yaml,line=1", "::error file=specs/two.yaml.lock", "file=specs/three.yaml"):
        assert part in said
    assert "the spec changed since it was locked" in said


def test_bytes_and_packages_are_checked_apart(repository, command) -> None:
    lock = Path("specs/one.yaml.lock")
    whole = lock.read_text()
    held = json.loads(whole)
    lock.write_text(json.dumps({**held, "versions": {**held["versions"], "numpy": "0.1"}}))
    for parts, code in (((), 5), (("--content",), 0), (("--environment",), 5), (("--content", "--environment"), 5)):
        assert command("check", *parts)[0] == code
        assert command("lock", "specs/one.yaml", "--check", *parts)[0] == code
    lock.write_text(whole)
    config = json.loads(Path("model/config.json").read_text())
    Path("model/config.json").write_text(json.dumps({**config, "x": 1}))
    for parts, code in (((), 5), (("--content",), 5), (("--environment",), 0)):
        assert command("check", "specs/one.yaml", *parts)[0] == code


def test_revisions_must_be_pinned(repository, command, hub, monkeypatch) -> None:
    spec = Path("specs/three.yaml")
    spec.write_text("spec_version: 1\nlibrary: transformers\ntask: text-classification\nmodel: {repo: a/b}\n")
    code, said = command("check", spec)
    assert code == 1
    assert "a/b is not pinned" in said


def test_new_changed_and_deleted_specs(repository, command) -> None:
    git("switch", "-q", "-c", "feature")
    Path("specs/one.yaml").unlink()
    Path("specs/one.yaml.lock").unlink()
    Path("specs/two.yaml").write_text(Path("specs/two.yaml").read_text() + "dtype: bfloat16 # less\n")
    hfspec.lock("specs/two.yaml")
    Path("specs/team").mkdir()
    text = Path("specs/two.yaml").read_text().replace("../model", "../../model")
    Path("specs/team/new.yaml").write_text(text)
    hfspec.lock("specs/team/new.yaml")
    code, said = command("check", "--base", "main")
    assert code == 0
    for part in (
        "- specs/one.yaml: deleted\n",
        "+ specs/team/new.yaml: new\n",
        "~ specs/two.yaml: changed\n    dtype\n      ~  auto -> bfloat16\n",
        "since main: 2 new, 2 changed, 2 deleted",
    ):
        assert part in said
    git("add", ".")
    git("commit", "-q", "-m", "second")
    git("switch", "-q", "main")
    Path("specs/late.yaml").write_text("x")
    git("add", ".")
    git("commit", "-q", "-m", "a spec of somebody else")
    git("switch", "-q", "feature")
    assert "late" not in command("check", "--base", "main")[1]
    code, said = command("check", "--base", "main", "--format", "md")
    assert code == 0
    assert "<details open><summary><code>specs/two.yaml</code> changed</summary>" in said
    assert "| dtype |" in said
    code, said = command("diff", "main...feature", "specs/")
    assert code == 1
    assert "+ specs/team/new.yaml: new" in said
    assert "late" not in said
    assert "- specs/late.yaml: deleted" in command("diff", "main..feature", "specs/")[1]
    assert command("diff", "feature..feature", "specs/") == (0, "")
    assert command("diff", "feature..", "specs/") == (0, "")


def test_comments_and_order_are_no_change(repository, command) -> None:
    spec = Path("specs/one.yaml")
    spec.write_text("# a comment\n" + "".join(sorted(spec.read_text().splitlines(keepends=True), reverse=True)))
    assert command("check", "--base", "main")[1].endswith("since main: nothing changed\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "--base", "nowhere"], "nowhere is not a commit, tag or branch"),
        (["check", "elsewhere"], "elsewhere does not exist"),
        (["check", "model"], "holds no spec"),
        (["diff", "main..nowhere", "specs"], "nowhere is not a commit, tag or branch"),
        (["diff", "main..main", "specs", "dtype=auto"], "neither overrides nor JSON"),
        (["lock", "specs/one.yaml", "--content"], "go with --check"),
        (["lock", "specs/one.yaml", "--check", "--requirements"], "--check writes nothing"),
    ],
)
def test_calls_that_are_refused(arguments, message, repository, command) -> None:
    with pytest.raises(hfspec.UsageError, match=message):
        command(*arguments)


def test_outside_of_git_there_is_no_base(locked, command, monkeypatch) -> None:
    monkeypatch.chdir(locked)
    with pytest.raises(hfspec.UsageError, match="not a git repository"):
        command("check", "--base", "main")


def wheel(folder: Path, name: str, needs: str = "") -> Path:
    file = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        info = f"{name}-1.0.dist-info"
        archive.writestr(f"{name}.py", "")
        required = f"Requires-Dist: {needs}\n" if needs else ""
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{required}")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return file


def test_requirements_have_the_hashes_of_all_that_is_needed(tmp_path, monkeypatch) -> None:
    from hfspec.sources.package_index import hashed_requirements

    files = [wheel(tmp_path, "alpha", "beta>=1"), wheel(tmp_path, "beta")]
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    lines = hashed_requirements({"python": "3.11.7", "alpha": "1.0"}).splitlines()
    assert lines[0].startswith("# For Python 3.11.7")
    assert lines[1:] == [
        f"{name}==1.0 --hash=sha256:{sha256(file.read_bytes()).hexdigest()}"
        for name, file in zip(("alpha", "beta"), files, strict=True)
    ]
    with pytest.raises(hfspec.SourceError, match="gamma"):
        hashed_requirements({"gamma": "1.0"})
