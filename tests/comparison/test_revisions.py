"""A spec as it was at a git revision, in real repositories."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import hfspec
from hfspec.comparison.change import Change

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
BASE = (
    "# @package _global_\nspec_version: 1\nlibrary: transformers\ntask: text-generation\nmodel_config:\n  top_k: {}\n"
)
SPEC = "defaults:\n  - /_base/text\n  - _self_\nmodel:\n  repo: gpt2\n  revision: {}\n"


def _git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True, env=environment
    )
    return done.stdout.strip()


def _commit(folder: Path, message: str) -> str:
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "-m", message)
    return _git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a spec and its base; the spec changed in the second commit, the base in the third."""
    top = tmp_path / "repository"
    (top / "specs" / "_base").mkdir(parents=True)
    _git(top, "init", "-q", "-b", "trunk")
    for base, revision in (("1", "v1"), ("1", "v2"), ("2", "v2")):
        (top / "specs" / "_base" / "text.yaml").write_text(BASE.format(base))
        (top / "specs" / "x.yaml").write_text(SPEC.format(revision))
        _commit(top, f"{base} {revision}")
    monkeypatch.chdir(top)
    return top


REVISION = Change("model", "revision", "v1", "v2", "changed")
TOP_K = Change("model_config", "top_k", 1, 2, "changed")


def test_a_revision_is_read_with_the_base_of_its_time(repository: Path) -> None:
    assert hfspec.diff("specs/x.yaml@HEAD", "specs/x.yaml") == ()
    assert hfspec.diff("specs/x.yaml@HEAD~1", "specs/x.yaml") == (TOP_K,)
    assert hfspec.diff("specs/x.yaml@HEAD~2", "specs/x.yaml@HEAD~1") == (REVISION,)
    assert hfspec.diff("specs/x.yaml@HEAD~2", "specs/x.yaml") == (REVISION, TOP_K)


@pytest.mark.parametrize("name", ["first", "HEAD@{2}", "commit", "short"])
def test_a_revision_has_any_name_that_git_knows(repository: Path, name: str) -> None:
    commit = _git(repository, "rev-parse", "HEAD~2")
    _git(repository, "tag", "first", commit)
    revision = {"commit": commit, "short": commit[:8]}.get(name, name)
    assert hfspec.diff(f"specs/x.yaml@{revision}", "specs/x.yaml") == (REVISION, TOP_K)


def test_the_work_tree_and_the_index_are_left_alone(repository: Path) -> None:
    (repository / "specs" / "x.yaml").write_text(SPEC.format("v3"))
    _git(repository, "add", "-A")
    (repository / "specs" / "_base" / "text.yaml").write_text(BASE.format("7"))
    before = _git(repository, "status", "--porcelain=v2")
    found = hfspec.diff("specs/x.yaml@HEAD", "specs/x.yaml")
    assert [(change.before, change.after) for change in found] == [("v2", "v3"), (2, 7)]
    assert _git(repository, "status", "--porcelain=v2") == before


def test_from_another_folder_and_inside_a_hook(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = repository / "specs" / "x.yaml"
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "another" / ".git"))
    monkeypatch.chdir(tmp_path)
    assert hfspec.diff(f"{spec}@HEAD~1", spec) == (TOP_K,)
    monkeypatch.chdir(repository / "specs")
    assert hfspec.diff("x.yaml@HEAD~1", "x.yaml") == (TOP_K,)


def test_a_spec_that_is_gone_can_still_be_read(repository: Path) -> None:
    (repository / "specs" / "y.yaml").write_text(SPEC.format("v2"))
    shutil.rmtree(repository / "specs" / "_base")
    (repository / "specs" / "x.yaml").unlink()
    assert hfspec.diff("specs/x.yaml@HEAD~1", "specs/x.yaml@HEAD") == (TOP_K,)


@pytest.mark.parametrize("path", ["../m", "../../m"])
def test_a_path_leads_to_the_same_folder_then_and_now(repository: Path, path: str) -> None:
    """Above the repository too, where a copy of the old tree would have another neighbour."""
    spec = repository / "specs" / "x.yaml"
    text = SPEC.format("v2").partition("model:")[0]
    spec.write_text(f"{text}model: {{path: {path}}}\n")
    _commit(repository, "path")
    assert hfspec.diff("specs/x.yaml@HEAD", "specs/x.yaml") == ()
    spec.write_text(f"{text}model: {{path: ../n}}\n")
    (change,) = hfspec.diff("specs/x.yaml@HEAD", "specs/x.yaml")
    assert (change.group, change.key, change.after) == ("model", "path", "n")
    assert "hfspec-diff" not in str(change.before)


def test_without_a_folder_named_specs_the_spec_stands_among_its_neighbours(repository: Path) -> None:
    (repository / "one.yaml").write_text(BASE.format(1) + "model: {repo: gpt2}\n")
    _commit(repository, "one")
    (repository / "one.yaml").write_text(BASE.format(2) + "model: {repo: gpt2}\n")
    assert hfspec.diff("one.yaml@HEAD", "one.yaml") == (TOP_K,)


def test_a_wrong_spec_of_the_past_is_named_with_its_revision(repository: Path) -> None:
    (repository / "specs" / "x.yaml").write_text(SPEC.format("v2") + "dtyp: float16\n")
    bad = _commit(repository, "bad")
    with pytest.raises(hfspec.SpecError) as refused:
        hfspec.diff(f"specs/x.yaml@{bad}", "specs/x.yaml@HEAD~1")
    (problem,) = refused.value.problems
    assert (problem.origin.file, problem.origin.line) == (f"specs/x.yaml@{bad}", 7)
    assert "hfspec-diff" not in str(refused.value)


@pytest.mark.parametrize(
    ("side", "words"),
    [
        ("specs/x.yaml@nonsense", "nonsense is not a commit, tag or branch"),
        ("specs/x.yaml@--help", "--help is not a commit"),
        ("specs/z.yaml@HEAD", "specs/z.yaml is not a file of the git revision HEAD"),
        ("/nowhere/x.yaml@HEAD", "not a git repository"),
        ("specs/z.yaml", "specs/z.yaml does not exist"),
    ],
)
def test_what_git_does_not_have_is_a_usage_error(repository: Path, side: str, words: str) -> None:
    with pytest.raises(hfspec.UsageError, match=words):
        hfspec.diff(side, "specs/x.yaml")


def test_a_file_whose_name_looks_like_a_revision_is_the_file(repository: Path) -> None:
    shutil.copy("specs/x.yaml", "specs/x.yaml@HEAD~2")
    assert hfspec.diff("specs/x.yaml@HEAD~2", "specs/x.yaml") == ()


def test_without_git_the_world_failed(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(hfspec.WorldError, match="git cannot be run"):
        hfspec.diff("specs/x.yaml@HEAD", "specs/x.yaml")
