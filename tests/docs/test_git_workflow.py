"""The files of docs/ci do what they say: their steps, run as they are printed there, in a repository of git."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ruamel.yaml import YAML

from tests import interpreters

ROOT = Path(__file__).parents[2]
GITHUB, GITLAB = (YAML(typ="safe").load(ROOT / "docs" / "ci" / f"{name}.yaml") for name in ("github", "gitlab"))
HOOKS = YAML(typ="safe").load(ROOT / ".pre-commit-hooks.yaml")
SPEC = """spec_version: 1
library: transformers
task: text-classification
model: {{path: {model}}}
model_config: {{top_k: {top_k}}}
"""


def steps(job):
    """The shell of a job's steps of GitHub's, but for what installs hfspec."""
    for step in GITHUB["jobs"][job]["steps"]:
        if "run" in step and "pip install" not in step["run"]:
            yield step["run"]


@pytest.fixture
def shell(tmp_path):
    """``shell(script)``: run as GitHub Actions does, in a repository and with hfspec on the path."""
    commands = interpreters.put_command(tmp_path / "bin")
    for name in ("gh", "curl"):  # what they are asked for is noted, and nobody is asked
        noted = commands / name
        noted.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/{name}.txt\n')
        noted.chmod(0o755)
    (tmp_path / "repository" / "specs").mkdir(parents=True)
    (tmp_path / "temp").mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    form, no_password = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pub").write_bytes(public)
    environment = {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "GITHUB_BASE_REF": "main",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "COMMENT_TOKEN": "x",
        "PULL_REQUEST": "7",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "RUNNER_TEMP": str(tmp_path / "temp"),
        "SIGNING_KEY": key.private_bytes(serialization.Encoding.PEM, form, no_password).decode().strip(),
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{who}_{what}": "x@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }

    def run(script):
        command = ["bash", "-e", "-c", script]
        place = tmp_path / "repository"
        return subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=400
        )

    return run


def test_from_an_edit_to_a_signed_artifact(shell, checkpoint, tmp_path):
    def write(top_k):
        text = SPEC.format(model=checkpoint("bert-sentiment"), top_k=top_k)
        (tmp_path / "repository" / "specs" / "sentiment.yaml").write_text(text)

    write(1)
    lock, commit = "hfspec lock -q specs/sentiment.yaml\n", "git add -A\ngit commit -qm x\n"
    begin = "git init -q -b main\n" + lock + commit + "git update-ref refs/remotes/origin/main main\n"
    assert shell(begin).returncode == 0
    write(2)
    assert shell("git switch -qc more-labels\n" + commit).returncode == 0

    check, means, comment = steps("review")
    done = shell(check)
    assert done.returncode == 5, "the spec was changed and not locked anew"
    assert "::error file=specs/sentiment.yaml.lock" in done.stdout
    assert shell(lock + commit).returncode == 0
    assert shell(check).returncode == 0
    done = shell(means)
    assert (done.returncode, done.stderr) == (0, "")
    assert "top_k" in (tmp_path / "summary.md").read_text()
    assert shell(comment).returncode == 0
    assert (tmp_path / "gh.txt").read_text().startswith("pr comment 7 --edit-last")

    build, sign, log = steps("build")
    for step in (build, sign, log):
        done = shell(step)
        assert done.returncode == 0, done.stderr
    assert "models:/sentiment/1" in done.stdout
    assert not (tmp_path / "temp" / "key.pem").exists()
    assert shell("hfspec verify build/sentiment --key ../key.pub").returncode == 0
    (moved,) = steps("moved")
    assert shell(moved).returncode == 0


def test_gitlab_and_the_hooks(shell, checkpoint, tmp_path):
    place = tmp_path / "repository"
    (place / "specs" / "a.yaml").write_text(SPEC.format(model=checkpoint("bert-sentiment"), top_k=1))
    begin = "git init -q -b main\nhfspec lock -q specs/a.yaml\ngit add -A\ngit commit -qm x\n"
    assert shell(begin + f"git remote add origin {place}\n").returncode == 0
    hooks = [shlex.join([*shlex.split(hook["entry"]), *hook["args"]]) for hook in HOOKS]
    for script in (GITLAB["review"]["script"], GITLAB["build"]["script"], hooks):
        done = shell("\n".join(["unset MLFLOW_TRACKING_URI", *script]))  # GitHub's steps log to MLflow
        assert done.returncode == 0, done.stderr
    assert "body@check.md" in (tmp_path / "curl.txt").read_text()
    (place / "specs" / "b.yaml").write_text("nonsense: 1\n")
    for script in (GITLAB["review"]["script"], hooks[:1], hooks[1:]):
        assert shell("\n".join(script)).returncode == 1
    assert {hook["language"] for hook in HOOKS} == {"system"}
