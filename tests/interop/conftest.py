"""A real tracking server of MLflow: a process with a SQLite store and an artifact proxy."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hfspec
from tests.compiling import write_spec

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
STARTS = 240  # seconds, on a machine that is busy with other tests


@pytest.fixture(scope="session")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running tracking server."""
    folder = tmp_path_factory.mktemp("tracking")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--serve-artifacts"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(address, process, folder / "log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + STARTS
    while time.monotonic() < ends and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the tracking server does not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def logged_artifact(shared_folder: Path, checkpoint: Callable[[str], Path]) -> tuple[Path, Path]:
    """A spec with a lock, golden examples and settings, and its artifact. Never write into it: copy it."""
    model = checkpoint("bert-sentiment")
    folder = shared_folder / f"interop-{os.getpid()}"
    keys = {
        "name": "film-reviews",
        "model_config": {"top_k": 1},
        "signature": {"params": {"function_to_apply": "softmax"}},
        "input_example": ["a fine film", "a dull one"],
    }
    artifact = hfspec.compile(write_spec(folder / "first", model, **keys), output=folder / "first" / "artifact")
    answer = hfspec.load(artifact.path).predict_json(["a fine film"])
    answer[0]["score"] += 0.00001
    golden = [{"input": ["a fine film"], "output": answer, "tolerance": 0.001}]
    spec = write_spec(folder / "second", model, **keys, golden=golden)
    hfspec.lock(spec)
    return spec, hfspec.compile(spec, output=folder / "second" / "artifact").path
