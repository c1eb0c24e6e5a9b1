"""What commands say of an artifact that refers to its weights."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

import hfspec
from hfspec.cli.app import app
from tests.reference.conftest import weights_of, write


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_plan_and_inspect(both, tmp_path):
    _, reference = both("bert-sentiment", save_mode="reference")
    (weights,) = weights_of(tmp_path / "sources")
    digest = reference.manifest.pointers[0].files[0].sha256
    planned = run("plan", tmp_path / "specs" / "spec.yaml")
    shown = run("inspect", reference.path)
    for text in (planned, shown):
        assert "reference: 120.0 kB of weights stay at their source" in text
        assert f"model: {weights.name}" in text
    assert digest[:12] in shown
    plan = json.loads(run("plan", tmp_path / "specs" / "spec.yaml", "--format", "json"))
    assert plan["save_mode"] == "reference"
    assert [file["path"] for pointer in plan["pointers"] for file in pointer["files"]] == [weights.name]
    assert not any(file["path"].endswith(".safetensors") for file in plan["files"])
    manifest = json.loads(run("inspect", reference.path, "--format", "json"))
    assert manifest["pointers"][0]["files"][0]["sha256"] == digest


def test_diff_of_the_two_save_modes(both):
    full, reference = both("bert-sentiment")
    changed = {change.group for change in hfspec.diff(full.path, reference.path)}
    assert "save mode" in changed
    assert "size" in changed
    assert "weights" not in changed  # the same bytes, elsewhere


def test_verify_counts_what_is_here(both, tmp_path, own_memory):
    _, reference = both("gpt2-sharded")
    assert "3 of 3 weight files that it refers to are here, verified" in run("verify", reference.path)
    moved = (tmp_path / "sources").rename(tmp_path / "moved")
    assert "0 of 3 weight files that it refers to are here" in run("verify", reference.path)
    given = f"--source=model={moved / 'gpt2-sharded'}"
    assert "3 of 3" in run("verify", reference.path, given)
    file = weights_of(moved)[1]
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(hfspec.VerificationError, match=file.name):
        run("verify", reference.path, given)


def test_verify_of_a_cache(hub, on_hub):
    reference = on_hub()
    assert "0 of 1 weight files" in run("verify", reference.path)
    hfspec.load(reference.path)
    hub.forget()
    assert "1 of 1 weight files" in run("verify", reference.path)
    assert hub.requests == []


def test_persist_and_predict_with_a_folder_given(reference, tmp_path, own_memory, capsys):
    shutil.rmtree(own_memory)
    moved = (tmp_path / "sources" / "bert-sentiment").rename(tmp_path / "moved")
    given = f"--source=model={moved}"
    with pytest.raises(hfspec.UsageError, match="expected a role and its folder"):
        run("verify", reference, "--source", "model")
    run("predict", reference, given, "a fine film")
    persisted = CliRunner().invoke(app, ["persist", str(reference), given, "--link", "hardlink"])
    assert persisted.stdout.splitlines()[-1] == str(reference)
    assert [line.split()[0] for line in persisted.stderr.splitlines()] == ["model/model.safetensors"]
    assert weights_of(reference)[0].stat().st_nlink == 2
    with pytest.raises(hfspec.UsageError, match="holds its weights itself"):
        run("persist", reference, given)


def test_link_on_the_command_line(tmp_path, source):
    spec = write(tmp_path / "specs", "bert", {"path": str(source("bert-sentiment"))})
    run("compile", spec, "-o", tmp_path / "linked", "--link", "hardlink", "--quiet")
    assert weights_of(tmp_path / "linked")[0].stat().st_nlink == 2
