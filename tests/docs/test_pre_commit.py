"""The hooks in the real pre-commit, which clones them from a repository of git as it would this one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import interpreters

ROOT = Path(__file__).parents[2]
PRE_COMMIT = os.environ.get("HFSPEC_PRE_COMMIT") or shutil.which("pre-commit")
pytestmark = pytest.mark.skipif(
    PRE_COMMIT is None,
    reason="pre-commit is not installed: pip install pre-commit in an environment of its own, and its path in"
    " HFSPEC_PRE_COMMIT",
)
CONFIG = """repos:
  - repo: {hooks}
    rev: v0.1.0
    hooks:
      - id: hfspec-validate
      - id: hfspec-check
"""
SPEC = """spec_version: 1
library: transformers
task: text-classification
model: {{path: {model}}}
model_config: {{top_k: {top_k}}}
"""
Git = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Of specs, with the hooks installed from a repository that has those of this one."""
    repository = tmp_path / "repository"
    (repository / "specs").mkdir(parents=True)
    return repository


@pytest.fixture
def run(tmp_path: Path, repository: Path) -> Git:
    """``run(words)`` in the repository, with hfspec on the path, as in an activated environment."""
    commands = interpreters.put_command(tmp_path / "bin")
    environment = {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "PRE_COMMIT_HOME": str(tmp_path / "pre-commit"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_COUNT": "1",  # a repository in a folder may be cloned
        "GIT_CONFIG_KEY_0": "protocol.file.allow",
        "GIT_CONFIG_VALUE_0": "always",
        **{f"GIT_{who}_{what}": "x@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }

    def call(*words: object, cwd: Path = repository) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(word) for word in words], cwd=cwd, env=environment, text=True, capture_output=True, timeout=240,
            check=False,
        )  # fmt: skip

    return call


def test_a_commit_is_refused_for_a_spec_or_a_lock_that_is_wrong(run, repository, checkpoint, tmp_path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", hooks)
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "x"], ["tag", "v0.1.0"]):
        assert run("git", *words, cwd=hooks).returncode == 0
    assert run("git", "init", "-q", "-b", "main").returncode == 0
    spec = repository / "specs" / "sentiment.yaml"
    (repository / ".pre-commit-config.yaml").write_text(CONFIG.format(hooks=hooks))
    spec.write_text(SPEC.format(model=checkpoint("bert-sentiment"), top_k=1))
    assert run("hfspec", "lock", "-q", spec).returncode == 0
    assert run(PRE_COMMIT, "install").returncode == 0

    def commit() -> subprocess.CompletedProcess[str]:
        run("git", "add", "-A")
        return run("git", "commit", "-m", "x")

    done = commit()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("Passed") == 2

    spec.write_text(SPEC.format(model=checkpoint("bert-sentiment"), top_k=2))
    done = commit()
    assert done.returncode == 1
    assert (done.stderr.count("Passed"), done.stderr.count("Failed")) == (1, 1)
    assert "exit code: 5" in done.stderr

    run("git", "checkout", "-q", "HEAD", "--", ".")
    (repository / "README.md").write_text("Our specs.\n")
    done = commit()
    assert done.returncode == 0
    assert done.stderr.count("Skipped") == 2
