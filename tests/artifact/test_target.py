"""What a compile says of the artifact that it replaces, and of another compile that builds for the same target."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import hfspec
from tests import interpreters
from tests.compiling import write_spec

SpecFor = Callable[..., Path]
LOCK = ".target.compile.lock"


def command(spec: Path, target: Path, *overrides: str) -> list[str]:
    return [sys.executable, "-m", "hfspec", "compile", str(spec), "-o", str(target), "--no-run", *overrides]


def told(spec: Path, target: Path, *overrides: str) -> tuple[int, str, str]:
    done = interpreters.run(command(spec, target, *overrides), text=True)
    return done.returncode, done.stdout, done.stderr


def started(spec: Path, target: Path, *overrides: str) -> subprocess.Popen[str]:
    """The same, which is waited for by ``ended``."""
    return subprocess.Popen(
        command(spec, target, *overrides), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    printed, said = process.communicate(timeout=120)
    return process.returncode, printed, said


def waited_for(process: subprocess.Popen[str], text: str) -> str:
    """The lines of stderr up to the one that has ``text``."""
    assert process.stderr is not None
    said = ""
    while text not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    return said


def compiled(spec: Path, target: Path, *overrides: str) -> hfspec.Artifact:
    return hfspec.compile(spec, output=target, overrides=overrides, run=False)


@pytest.mark.parametrize(
    ("overrides", "keys"),
    [
        (("dtype=float16",), {"dtype.dtype", "dtype"}),
        (("+metadata.team=search",), {"metadata.team"}),
        (("+model_config.top_k=2",), {"model_config.top_k"}),
        (("+name=other",), {"name"}),
    ],
)
def test_the_keys_of_another_spec_that_was_replaced_are_named(
    spec_for: SpecFor, tmp_path: Path, overrides: tuple[str, ...], keys: set[str]
) -> None:
    spec = spec_for("bert-sentiment")
    assert compiled(spec, tmp_path / "target").replaced == ()
    again = compiled(spec, tmp_path / "target", *overrides)
    assert keys & set(again.replaced), again.replaced
    assert again.digest == hfspec.verify(tmp_path / "target").digest


def test_nothing_is_said_of_the_same_spec_and_of_a_damaged_artifact(spec_for: SpecFor, tmp_path: Path) -> None:
    spec = spec_for("bert-sentiment")
    first = compiled(spec, tmp_path / "target")
    assert compiled(spec, tmp_path / "target").replaced == ()
    (first.path / "model" / "config.json").write_bytes(b"{")
    assert compiled(spec, tmp_path / "target", "dtype=float16").replaced == ()


def test_the_command_shows_notes_and_what_was_replaced(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    model, target = tmp_path / "bert-sentiment", tmp_path / "target"
    shutil.copytree(checkpoint("bert-sentiment"), model)
    for stated in (*model.glob("LICENSE*"), *model.glob("README*")):
        stated.unlink()
    (model / "trainer.log").write_text("epoch 1\n", encoding="utf-8")
    spec = write_spec(tmp_path / "specs", model)
    notes = hfspec.plan(spec, ["dtype=float16"]).notes
    assert notes
    compiled(spec, target)
    code, printed, said = told(spec, target, "dtype=float16")
    assert (code, printed) == (0, f"{target}\n")
    assert [line for line in said.splitlines() if line.startswith("note: ")] == [f"note: {note}" for note in notes]
    assert "replaced an artifact of another spec, which differs in dtype" in said
    code, printed, said = told(spec, target, "--quiet")
    assert "note: " not in said
    assert "replaced an artifact of another spec" in said


def test_a_second_compile_waits_for_the_first(spec_for: SpecFor, tmp_path: Path) -> None:
    """The lock is held here, as a compile that is at work holds it."""
    spec, target = spec_for("bert-sentiment"), tmp_path / "target"
    lock = os.open(tmp_path / LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    waiting = started(spec, target)
    waited_for(waiting, f"waiting for another compile of {target}")
    assert not target.exists()
    (tmp_path / LOCK).unlink()
    os.close(lock)
    code, printed, _ = ended(waiting)
    assert (code, printed) == (0, f"{target}\n")
    assert list(tmp_path.glob(".target*")) == []
    assert list(target.rglob("*.lock")) == []


def test_two_specs_at_once_are_each_answered_for_their_own(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """Two processes: whoever is last says that it replaced the other's; what lies there is whole and its own."""
    model, target = checkpoint("bert-sentiment"), tmp_path / "out" / "target"
    specs = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        specs.append(write_spec(tmp_path / name, model, name=name))
    answers = [ended(process) for process in [started(spec, target) for spec in specs]]
    assert [(code, printed) for code, printed, _ in answers] == [(0, f"{target}\n")] * 2
    last = [name for name, (_, _, said) in zip(("first", "second"), answers, strict=True) if "replaced" in said]
    assert last == [hfspec.verify(target).name]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["target"]


def test_the_returned_artifact_is_the_one_that_was_written(spec_for: SpecFor, tmp_path: Path) -> None:
    spec, target = spec_for("bert-sentiment"), tmp_path / "target"
    first = compiled(spec, target, "+name=first")
    second = compiled(spec, target, "+name=second")
    assert (first.manifest.name, second.manifest.name) == ("first", "second")


def test_a_killed_compile_does_not_block_the_next(spec_for: SpecFor, tmp_path: Path) -> None:
    spec, target = spec_for("bert-sentiment"), tmp_path / "target"
    killed = started(spec, target)
    while not (tmp_path / LOCK).exists() and killed.poll() is None:
        time.sleep(0.001)
    killed.send_signal(signal.SIGKILL)
    ended(killed)
    (tmp_path / LOCK).touch()
    code, _, said = told(spec, target)
    assert (code, "waiting" in said) == (0, False)
    assert list(tmp_path.glob(".target*")) == []


def test_a_waiting_compile_can_be_interrupted(spec_for: SpecFor, tmp_path: Path) -> None:
    spec, target = spec_for("bert-sentiment"), tmp_path / "target"
    lock = os.open(tmp_path / LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    waiting = started(spec, target)
    waited_for(waiting, "waiting")
    waiting.send_signal(signal.SIGINT)
    code, _, said = ended(waiting)
    os.close(lock)
    assert (code, "Traceback" in said) == (130, False)
    assert (tmp_path / LOCK).exists(), "it is the other's"
