"""The commands: what they print where, and how they end."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hfspec.cli.app import app
from tests import interpreters

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
    """``run(*arguments)``: the command in a process of its own, in an empty folder."""
    (tmp_path / "cwd").mkdir()

    def command(*arguments):
        return interpreters.run(
            [sys.executable, "-m", "hfspec", *map(str, arguments)],
            cwd=tmp_path / "cwd",
            env={**os.environ, "COLUMNS": "200"},
            text=True,
            capture_output=True,
            check=False,
        )

    return command


def here(*arguments):
    """The command in this process, which has the heavy libraries loaded already."""
    return CliRunner().invoke(app, [*map(str, arguments), "-q"])


def test_lock_check_upgrade(run, repository, write):
    spec = write()
    lock, old = spec.with_name("mine.yaml.lock"), repository.commit
    missing = run("lock", "--check", spec, "-q")
    assert (missing.returncode, missing.stderr) == (5, "")
    assert f"write it with `hfspec lock {spec}`" in missing.stdout
    written = here("lock", spec)
    assert (written.exit_code, written.stderr) == (0, "")
    assert written.stdout.startswith(f"{lock}: written, 1 source(s), ")
    good = run("lock", "--check", spec, "-q")
    assert (good.returncode, good.stdout) == (0, f"{lock} holds for {spec}\n")
    new = repository.move(README__md=b"a new card\n")
    moved = run("lock", "--check", spec, "-q")
    assert moved.returncode == 5
    assert moved.stdout.splitlines()[0] == f"{lock}: model: repo locks/sentiment at main moved: {old} -> {new}"
    assert moved.stderr == f"run `hfspec lock --upgrade {spec}` to take what is there now\n"
    listed = here("lock", "--check", spec, "--format", "json")
    assert listed.exit_code == 5
    changes = json.loads(listed.stdout)
    assert (changes[0]["code"], changes[0]["before"], changes[0]["after"]) == ("commit", old, new)
    upgraded = here("lock", "--upgrade", spec, "--format", "json")
    assert upgraded.exit_code == 0
    assert json.loads(upgraded.stdout) == {"path": str(lock), "is_new": False, "changes": changes}


@pytest.mark.parametrize("command", ["plan", "compile"])
def test_locked_ends_with_5_and_says_what_to_do(run, repository, write, command, tmp_path):
    spec = write()
    done = run(command, spec, "--locked")
    assert (done.returncode, done.stdout) == (5, "")
    assert f"write it with `hfspec lock {spec}`" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "cwd").iterdir()) == []


def test_check_and_upgrade_do_not_go_together(run, write):
    done = run("lock", "--check", "--upgrade", write())
    assert done.returncode == 2
    assert "--check" in done.stderr


def test_schema_writes_and_checks_them_all(run, tmp_path):
    names = ["artifact.schema.json", "batch.schema.json", "fleet.schema.json", "lock.schema.json", "spec.schema.json"]
    assert run("schema").returncode == 0
    made = tmp_path / "cwd" / "schemas"
    assert sorted(path.name for path in made.iterdir()) == names
    for name in names:
        assert (made / name).read_text() == (ROOT / "schemas" / name).read_text()
    assert run("schema", "--check").returncode == 0
    (made / "lock.schema.json").write_text("{}\n")
    (made / "artifact.schema.json").unlink()
    done = run("schema", "--check")
    assert done.returncode == 2
    assert "lock.schema.json" in done.stderr
    assert "artifact.schema.json" in done.stderr
    assert "spec.schema.json" not in done.stderr


def test_one_schema_goes_where_it_is_told(run, tmp_path):
    printed = run("schema", "-o", "-", "--of", "lock")
    assert printed.stdout == (ROOT / "schemas" / "lock.schema.json").read_text()
    assert json.loads(run("schema", "-o", "-").stdout)["$id"] == "urn:hfspec:schema:spec:1"
    file = tmp_path / "manifest.json"
    assert run("schema", "-o", file, "--of", "artifact").returncode == 0
    assert file.read_text() == (ROOT / "schemas" / "artifact.schema.json").read_text()
    assert run("schema", "-o", file, "--of", "artifact", "--check").returncode == 0
    assert run("schema", "-o", file, "--check").returncode == 2
