"""stdout, stderr, signals and locales: what a shell, a pipe or a CI system sees of a command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run

GOOD = "spec_version: 1\nlibrary: transformers\ntask: text-classification\nmodel: {repo: org/model}\n"


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """The command, with an output that is buffered as it is in a pipe."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment |= options.pop("env", {})  # type: ignore[arg-type]
    command = [sys.executable, "-m", "hfspec", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload]


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD, encoding="utf-8")
    return file


def test_a_reader_that_leaves_is_no_error_of_the_spec(spec: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = start("validate", spec, stdout=writing)
    os.close(writing)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_behind_stdout_is_the_worlds_failure(spec: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = start("validate", spec, stdout=full)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 3
    assert said.startswith("hfspec: No space left")
    assert len(said.splitlines()) == 1


def test_a_closed_stderr_silences_progress_and_nothing_else(
    tmp_path: Path, checkpoint: Callable[[str], Path], hfspec: Run
) -> None:
    spec = tmp_path / "sentiment.yaml"
    spec.write_text(GOOD.replace("repo: org/model", f"path: {checkpoint('bert-sentiment')}"), encoding="utf-8")
    command = f'"{sys.executable}" -m hfspec compile "{spec}" -o "{tmp_path}/out" 2>&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/out\n")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_any_text_of_a_spec_can_be_reported(spec: Path, encoding: str) -> None:
    spec.write_text(GOOD + "naïve: '漢字'\n", encoding="utf-8")
    process = start("validate", spec, stdout=subprocess.PIPE, env={"PYTHONIOENCODING": encoding})
    printed, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (1, "")
    assert {"ascii": r"na\xefve", "utf-8": "naïve"}[encoding] in printed


def test_a_path_that_is_no_unicode_is_printed_as_its_bytes(tmp_path: Path) -> None:
    file = os.fsencode(tmp_path) + b"/a\xff.yaml"
    Path(os.fsdecode(file)).write_text(GOOD, encoding="utf-8")
    environment = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "hfspec", "validate", file], capture_output=True, env=environment, check=False
    )
    assert done.returncode == 1, "its name cannot be a deployment's"
    assert done.stdout.startswith(file + b":1:1: ")
    assert done.stderr == b""


@pytest.mark.parametrize(("terminal", "kind"), [("xterm", "Bar"), ("dumb", "Lines")])
def test_a_bar_is_drawn_only_where_it_can_be(terminal: str, kind: str) -> None:
    leader, follower = os.openpty()
    script = "from hfspec.cli.progress import for_terminal as f; print(type(f(quiet=False)).__name__)"
    environment = {**os.environ, "TERM": terminal}
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=follower, env=environment, text=True, check=True
    )
    os.close(leader)
    os.close(follower)
    assert done.stdout.strip() == kind


def test_ctrl_c_in_a_compile_says_so_and_leaves_nothing(tmp_path: Path, checkpoint: Callable[[str], Path]) -> None:
    spec = tmp_path / "slow.yaml"
    place = tmp_path / "place"
    example = "input_example: [a fine film]\n"  # its run takes seconds: most of them lie in the import of torch
    spec.write_text(
        GOOD.replace("repo: org/model", f"path: {checkpoint('bert-sentiment')}") + example, encoding="utf-8"
    )
    process = start("compile", spec, "-o", place / "out", stdout=subprocess.PIPE)
    until = time.monotonic() + 60
    while not place.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert printed == ""
    assert said.splitlines()[-1].startswith("hfspec: interrupted")
    assert "Traceback" not in said
    assert not place.exists()


def test_no_arguments_show_the_help_and_are_a_usage_error(hfspec: Run) -> None:
    done = hfspec()
    assert done.returncode == 2
    assert "compile" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "command", ["init", "validate", "schema", "plan", "compile", "inspect", "verify", "sign", "predict"]
)
def test_every_command_has_help(hfspec: Run, command: str) -> None:
    done = hfspec(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"hfspec {command}" in done.stdout


def test_the_help_lists_every_command_whole_and_the_exit_codes(hfspec: Run) -> None:
    printed = hfspec("--help").stdout
    assert "..." not in printed.replace("[ARGS]...", "")
    assert "4 verification failed" in " ".join(printed.split())
