"""A process that is a fork is one of its own: arguments, environment, streams, exit codes and signals."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests import interpreters


def test_a_script_has_its_own_arguments_environment_and_streams(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\nprint(sys.argv[1:], os.environ['MINE'], input(), __name__)\nsys.exit('no more')\n"
    )
    environment = {**os.environ, "MINE": "1"}
    done = interpreters.run([sys.executable, script, "a b"], env=environment, input="said", text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "['a b'] 1 said __main__\n", "no more\n")
    assert "MINE" not in os.environ


@pytest.mark.parametrize(
    ("code", "status"),
    [("pass", 0), ("raise SystemExit(7)", 7), ("1 / 0", 1), ("import os; os.kill(os.getpid(), 15)", -15)],
)
def test_it_ends_as_a_process_does(code, status):
    done = interpreters.run([sys.executable, "-c", code], text=True)
    assert (done.returncode, "ZeroDivisionError: division by zero" in done.stderr) == (status, status == 1)


def test_it_is_killed_when_it_takes_too_long():
    with pytest.raises(interpreters.TimeoutExpired):
        interpreters.run([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.5)


def test_it_imports_hfspec_anew_and_finds_its_libraries_there():
    code = "import sys; print('torch' in sys.modules, 'hfspec.stages.emit' in sys.modules)"
    assert interpreters.run([sys.executable, "-c", code], text=True).stdout == "True False\n"


def test_a_shell_has_the_command(tmp_path):
    folder = interpreters.put_command(tmp_path / "bin")
    command = [str(folder / "hfspec"), "validate", "none.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "none.yaml" in done.stderr
