"""Python processes that need not import torch and transformers again: forks of one that has.

``run`` is ``subprocess.run`` for ``[sys.executable, "script.py"]``, ``[sys.executable, "-m", "hfspec"]`` and
``[sys.executable, "-c", code]``; ``python -m tests.interpreters ...`` is the same for a shell. Such a process has its
own environment, folder, streams and signals, and imports all of hfspec, or of an artifact's own code, anew: only the
libraries are there already, which takes seconds otherwise. What is about the start of a process, its imports or its
memory takes ``subprocess.run``.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from subprocess import DEVNULL, CompletedProcess, TimeoutExpired
from types import ModuleType
from typing import Any, BinaryIO, NoReturn

__all__ = ["DEVNULL", "CompletedProcess", "TimeoutExpired", "run"]

PLACE = "HFSPEC_TESTS_INTERPRETERS"
PATIENCE = 600
ROOT = Path(__file__).parents[1]
LIBRARIES = (
    *("numpy", "pandas", "torch", "transformers.modeling_utils", "transformers.generation.utils", "safetensors.torch"),
    *("transformers.models.bert.modeling_bert", "transformers.models.auto.modeling_auto"),
    *("sentence_transformers", "jsonschema", "omegaconf", "hydra", "pydantic", "rich.console", "ruamel.yaml", "typer"),
)


def run(
    arguments: Sequence[object],
    *,
    cwd: object = None,
    env: dict[str, str] | None = None,
    input: str | bytes | None = None,  # noqa: A002 - as subprocess.run has it
    stdin: int | None = None,
    capture_output: bool = True,
    text: bool = False,
    check: bool = False,
    timeout: float | None = None,
) -> CompletedProcess[Any]:
    """What ``subprocess.run`` gives."""
    program, *rest = map(str, arguments)
    known = rest and (rest[0] == "-c" or rest[0].endswith(".py") or rest[:2] == ["-m", "hfspec"])
    if program != sys.executable or not known or not _ready():
        return subprocess.run(
            arguments, cwd=cwd, env=env, capture_output=capture_output, text=text, check=check, timeout=timeout,
            **({"stdin": stdin} if input is None else {"input": input}),
        )  # fmt: skip
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3 if capture_output else 1)]
        files[0].write(input.encode() if isinstance(input, str) else input or b"")
        files[0].seek(0)
        streams = [*(file.fileno() for file in files), 1, 2][:3]
        environment = {**(os.environ if env is None else env), PLACE: os.environ[PLACE]}
        request = {"arguments": rest, "cwd": str(cwd or Path.cwd()), "env": environment}
        code = _asked(request, streams, timeout)
        output = [_read(file, text) for file in files[1:]] if capture_output else [None, None]
    done = CompletedProcess(arguments, code, *output)
    if check:
        done.check_returncode()
    return done


def put_command(folder: Path) -> Path:
    """The command ``hfspec`` in a new ``folder`` for the path of a shell, which has ROOT in PYTHONPATH."""
    folder.mkdir()
    command = folder / "hfspec"
    module = f"-m {__name__} -m" if _ready() else "-m"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} hfspec "$@"\n')
    command.chmod(0o755)
    return folder


def _read(file: BinaryIO, text: bool) -> str | bytes:
    file.seek(0)
    return io.TextIOWrapper(file).read() if text else file.read()


def _asked(request: dict[str, object], streams: Sequence[int], timeout: float | None = None) -> int:
    """The exit code of a process with these streams."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ[PLACE])
        socket.send_fds(connection, [b"."], list(streams))
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile() as answers:
            child = int(answers.readline())
            connection.settimeout(timeout or PATIENCE)
            try:
                return int(answers.readline())
            except TimeoutError:
                os.kill(child, signal.SIGKILL)
                raise TimeoutExpired(str(request["arguments"]), timeout or PATIENCE) from None


class _Server:
    """The process that forks. It is started when it is first needed, by the process of the tests."""

    def __init__(self, place: Path) -> None:
        self._place, self._process = place, None

    def start(self) -> None:
        if self._process is None:
            command = [sys.executable, "-m", __name__, "serve", str(self._place)]
            self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert self._process.stdout is not None
            assert self._process.stdout.readline() == b"ready\n"

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()


_servers: list[_Server] = []


@contextlib.contextmanager
def interpreters() -> Iterator[None]:
    """``run`` forks, and compiles try their predictor by it."""
    import pytest

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        place = Path(folder) / "socket"
        patch.setenv(PLACE, str(place))
        patch.setattr("hfspec.artifact.trial.subprocess", sys.modules[__name__])
        _servers.append(_Server(place))
        yield
        _servers.pop().close()


def _ready() -> bool:
    """Whether there is a process that forks."""
    for server in _servers:
        server.start()
    return PLACE in os.environ and Path(os.environ[PLACE]).exists()


def serve(place: str) -> int:
    """Fork for every request until our own input ends."""
    for name in LIBRARIES:
        importlib.import_module(name)
    logging = importlib.import_module("transformers.utils.logging")
    logging.set_verbosity_error()  # as in every process of ours
    logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        os.write(1, b"ready\n")
        while True:
            ready = select.select([listener, 0], [], [])[0]
            if 0 in ready:
                return 0
            connection = listener.accept()[0]
            if not os.fork():
                listener.close()
                _attend(connection)
            connection.close()


def _attend(connection: socket.socket) -> NoReturn:
    """Run what is asked for in a child, and say how it ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connection.settimeout(PATIENCE)
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("r") as requests:
        request = json.loads(requests.readline())
    child = os.fork()
    if not child:
        connection.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        _become(**request)
    connection.sendall(f"{child}\n".encode())
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        connection.sendall(f"{code}\n".encode())
    os._exit(0)


def _become(arguments: list[str], cwd: str, env: dict[str, str]) -> NoReturn:
    """The process of ``python ARGUMENTS``."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    importlib.reload(importlib.import_module("huggingface_hub.constants"))  # it reads the environment when imported
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    del sys.modules["__main__"]
    code: object = 1
    try:
        _execute(*arguments)
        code = 0
    except SystemExit as left:
        code = left.code
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
    threading._shutdown()
    atexit._run_exitfuncs()
    if isinstance(code, str):
        print(code, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _execute(first: str, *rest: str) -> None:
    script = first not in {"-m", "-c"}
    sys.path[0] = str(Path(first).parent) if script else str(Path.cwd())
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    if Path(first).name != "predictor.py":
        importlib.import_module("hfspec.artifact.trial").__dict__["subprocess"] = sys.modules["tests.interpreters"]
    sys.argv = [first, *rest] if script else [first, *rest[1:]]
    if first == "-m":
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        module = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), module.__dict__)
    else:
        runpy.run_path(first, run_name="__main__")


def main(first: str, *rest: str) -> int:
    if first == "serve":
        return serve(*rest)
    request = {"arguments": [first, *rest], "cwd": str(Path.cwd()), "env": dict(os.environ)}
    return _asked(request, range(3))


if __name__ == "__main__":
    sys.modules["tests.interpreters"] = sys.modules[__name__]
    sys.exit(main(*sys.argv[1:]))
