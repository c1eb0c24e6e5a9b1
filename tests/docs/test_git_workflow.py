"""docs/git-workflow.md is true: its CI steps, run as they are printed there, in a repository of git."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ruamel.yaml import YAML

PAGE = Path(__file__).parent.parent.parent / "docs" / "git-workflow.md"
SPEC = """spec_version: 1
library: transformers
task: text-classification
model: {{path: {model}}}
model_config: {{top_k: {top_k}}}
"""


def steps(job):
    """The shell of a job's steps, but for what installs hfspec."""
    for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        found = YAML(typ="safe").load(block)["jobs"].get(job, {})
        for step in found.get("steps", ()):
            if "run" in step and "pip install" not in step["run"]:
                yield step["run"]


@pytest.fixture
def shell(tmp_path):
    """``shell(script)``: run as GitHub Actions does, in a repository and with hfspec on the path."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "hfspec"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hfspec "$@"\n')
    command.chmod(0o755)
    (tmp_path / "repository" / "specs").mkdir(parents=True)
    (tmp_path / "temp").mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    form, no_password = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pub").write_bytes(public)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(PAGE.parent.parent), os.environ.get("PYTHONPATH")))),
        "GITHUB_BASE_REF": "main",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "RUNNER_TEMP": str(tmp_path / "temp"),
        "SIGNING_KEY": key.private_bytes(serialization.Encoding.PEM, form, no_password).decode().strip(),
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{who}_{what}": "x@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }

    def run(script):
        command = ["bash", "-e", "-c", script]
        place = tmp_path / "repository"
        return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)

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

    validate, locked, means = steps("review")
    assert shell(validate).returncode == 0
    assert shell(locked).returncode == 5, "the spec was changed and not locked anew"
    assert shell(lock + commit).returncode == 0
    assert shell(locked).returncode == 0
    done = shell(means)
    assert (done.returncode, done.stderr) == (0, "")
    assert "top_k" in (tmp_path / "summary.md").read_text()

    (build,) = steps("build")
    done = shell(build)
    assert (done.returncode, done.stderr) == (0, "")
    assert list((tmp_path / "temp").iterdir()) == []
    assert shell("hfspec verify build/sentiment --key ../key.pub").returncode == 0
    (moved,) = steps("moved")
    assert shell(moved).returncode == 0
