"""Two machines write the same lock."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import hfspec


def test_two_machines_write_the_same_bytes(repository, folder, write, tmp_path):
    spec = write(components={"tokenizer": {"path": "model"}}, metadata={"b": 1, "a": [2]})
    elsewhere = shutil.copytree(spec.parent, tmp_path / "other place" / "specs", copy_function=shutil.copyfile)
    (elsewhere / "model" / "notes.txt").write_text("no deployment uses this")
    home = tmp_path / "home"
    home.mkdir()
    other = {"TZ": "Pacific/Chatham", "PYTHONHASHSEED": "2", "LC_ALL": "C", "HF_HUB_CACHE": str(home / "cache")}
    run = subprocess.run(
        [sys.executable, "-m", "hfspec", "lock", "../other place/specs/mine.yaml", "-q"],
        cwd=home,
        env={**os.environ, "HOME": str(home), **other},
        umask=0o077,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    here = hfspec.lock(spec).path.read_bytes()
    assert (elsewhere / "mine.yaml.lock").read_bytes() == here
    assert str(tmp_path).encode() not in here
