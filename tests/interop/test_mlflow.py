"""hfspec mlflow log and pull against a real tracking server: the bytes stay, and nothing is registered by halves."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import hfspec
from hfspec.cli.app import app
from tests.compiling import tree_of

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::UserWarning")
META = "registered_model_meta"
Command = Callable[..., list[str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tracking: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """``command(*arguments)``: the lines that ``hfspec mlflow`` prints, asked of the server."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)
    monkeypatch.setattr("mlflow.get_tracking_uri", lambda: tracking)
    monkeypatch.setattr("mlflow.get_registry_uri", lambda: tracking)

    def run(*arguments: object) -> list[str]:
        capsys.readouterr()
        app(["mlflow", *map(str, arguments)], standalone_mode=False)
        return capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def name() -> str:
    """Of a registered model that no other test has."""
    return f"reviews-{uuid4().hex[:8]}"


def test_log_and_pull_keep_every_byte(command, tracking, logged_artifact, tmp_path, name) -> None:
    spec, folder = logged_artifact
    lines = command(
        *("log", folder, "--experiment", "films", "--run-name", "first", "--register", name),
        *("--alias", "champion", "--spec", spec),
    )
    assert lines[-1] == f"models:/{name}/1"
    assert "alias champion: version 1" in lines
    assert any(line.startswith(f"{tracking}/#/experiments/") for line in lines)
    output = tmp_path / "pulled"
    [said] = command("pull", f"models:/{name}@champion", "-o", output)
    manifest = hfspec.verify(output, run=True)
    assert said.endswith(f"digest {manifest.digest}")
    assert {**tree_of(output), META: b""} == {**tree_of(folder), META: b""}
    assert hfspec.load(output).predict_json(["a film"]) == hfspec.load(folder).predict_json(["a film"])

    client = MlflowClient(tracking, tracking)
    version = client.get_model_version_by_alias(name, "champion")
    model, run = client.get_logged_model(version.source.removeprefix("models:/")), client.get_run(version.run_id)
    assert (str(model.status), run.info.status) == ("READY", "FINISHED")
    assert (run.info.run_name, model.name, model.model_type) == ("first", "film-reviews", "hfspec")
    for tags in (version.tags, model.tags, run.data.tags):
        assert tags["hfspec.digest"] == manifest.digest
        assert tags["hfspec.task"] == "text-classification"
        assert tags["hfspec.licence"] == "apache-2.0"
    for params in (run.data.params, model.params):
        assert (params["top_k"], params["task"]) == ("1", "text-classification")
        assert params["top_k.origin"].startswith(str(spec))
        assert params["signature.params.function_to_apply"] == "softmax"
    metrics = {metric.key: metric.value for metric in model.metrics}
    assert metrics == run.data.metrics
    assert metrics["golden.max_deviation"] == pytest.approx(0.00001, rel=0.2)
    assert metrics["size.bytes"] == sum(file.size for file in manifest.files)
    assert metrics["load.seconds"] > 0
    files = {Path(file.path).name: file for file in client.list_artifacts(version.run_id, "hfspec")}
    assert set(files) == {"plan.txt", "report.txt", "spec.yaml", "spec.yaml.lock"}
    assert [one.model_id for one in run.outputs.model_outputs] == [model.model_id]


def test_the_ui_and_pyfunc_read_signature_and_example(command, tracking, logged_artifact, monkeypatch) -> None:
    _, folder = logged_artifact
    uri = command("log", folder, "--no-run")[-1]
    mlflow.set_tracking_uri(tracking)
    try:
        found = mlflow.models.get_model_info(uri)
        assert found.signature.inputs.input_names() == ["text", "text_pair"]
        assert [param.name for param in found.signature.params] == ["function_to_apply"]
        assert found.saved_input_example_info["artifact_path"] == "input_example.json"
        answers = mlflow.pyfunc.load_model(uri).predict(["a fine film"])
        assert answers.equals(hfspec.load(folder).predict(["a fine film"]))
    finally:
        mlflow.set_tracking_uri(None)
    params = MlflowClient(tracking).get_logged_model(uri.removeprefix("models:/")).params
    assert (params["top_k"], params["top_k.origin"]) == ("1", "model_config")


def test_a_name_that_exists_gets_a_version_and_the_alias_moves(command, tracking, logged_artifact, name) -> None:
    _, folder = logged_artifact
    client = MlflowClient(tracking, tracking)
    for number, alias in ((1, "best"), (2, "best"), (3, None)):
        lines = command("log", folder, "--no-run", "--register", name, *(["--alias", alias] if alias else []))
        assert lines[-1] == f"models:/{name}/{number}"
        if number == 2:
            assert "alias best: version 1 -> version 2" in lines
    assert client.get_model_version_by_alias(name, "best").version == "2"


def test_dry_run_says_what_would_be_logged_and_asks_no_server(command, logged_artifact) -> None:
    spec, folder = logged_artifact
    nowhere = ("--tracking-uri", "http://127.0.0.1:9")
    said = "\n".join(command("log", folder, *nowhere, "--dry-run", "--register", "x", "--alias", "y", "--spec", spec))
    for part in ("x as y", "golden.max_deviation", "hfspec.digest", "spec.yaml.lock", "top_k.origin", "film-reviews"):
        assert part in said


class Relay:
    """A server in front of the tracking server, which goes away once it has been asked for something."""

    def __init__(self, address: str, last: bytes) -> None:
        self.target = ("127.0.0.1", int(address.rpartition(":")[2]))
        self.last, self.sockets = last, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://user:secret-word@127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                inner, _ = self.listener.accept()
                outer = socket.create_connection(self.target, timeout=60)
            except OSError:
                return
            self.sockets += [inner, outer]
            threading.Thread(target=self._pass_on, args=(inner, outer), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(outer, inner), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                if self.last in data:
                    self.close()
                    return
                target.sendall(data)
        except OSError:
            return

    def close(self) -> None:
        for each in (self.listener, *self.sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def goes_away(tracking: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], str]]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    relays: list[Relay] = []

    def start(last: bytes) -> str:
        relays.append(Relay(tracking, last))
        return relays[-1].address

    yield start
    for relay in relays:
        relay.close()


WHEN = [
    (b"experiments/get-by-name", ["nothing registered under 'halves'"], None),
    (
        b"artifacts/model/model.safetensors",
        ["logged model m-", "never READY", "nothing registered under 'halves'"],
        "PENDING",
    ),
    (b"model-versions/create", ["with all its files", "nothing registered under 'halves'"], "READY"),
    (b"registered-models/alias", ["halves version ", "the alias 'top' where it was before"], "READY"),
]


@pytest.mark.parametrize(("last", "parts", "status"), WHEN, ids=[str(row[0]) for row in WHEN])
def test_a_server_that_goes_away_midway(last, parts, status, command, tracking, goes_away, logged_artifact) -> None:
    _, folder = logged_artifact
    client = MlflowClient(tracking, tracking)
    before = len(client.search_model_versions("name='halves'"))
    names = ("--register", "halves", "--alias", "top", "--tracking-uri", goes_away(last))
    with pytest.raises(hfspec.WorldError) as caught:
        command("log", folder, "--no-run", *names)
    message = str(caught.value)
    assert "secret-word" not in message
    assert "There is now:" in message
    for part in parts:
        assert part in message
    added = len(client.search_model_versions("name='halves'")) - before
    assert added == (1 if "alias" in last.decode() else 0)
    with pytest.raises(MlflowException):
        client.get_model_version_by_alias("halves", "top")
    if status:
        found = re.search(r"logged model (m-\w+)", message)
        assert str(client.get_logged_model(found[1]).status) == status


def test_a_pull_that_is_cut_leaves_nothing(command, tracking, goes_away, logged_artifact, tmp_path) -> None:
    _, folder = logged_artifact
    uri = command("log", folder, "--no-run")[-1]
    with pytest.raises(hfspec.WorldError, match="says"):
        command("pull", uri, "-o", tmp_path / "in" / "x", "--tracking-uri", goes_away(b"model.safetensors"))
    assert list((tmp_path / "in").iterdir()) == []


def test_bytes_that_changed_in_the_store_are_refused(command, tracking, logged_artifact, tmp_path) -> None:
    _, folder = logged_artifact
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    uri = command("log", copy, "--no-run")[-1]
    (tmp_path / "config.json").write_text("{}")
    MlflowClient(tracking).log_model_artifact(uri.removeprefix("models:/"), str(tmp_path / "config.json"), "model")
    with pytest.raises(hfspec.VerificationError, match=r"model/config\.json"):
        command("pull", uri, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--alias", "champion"], "--alias goes with --register"),
        (["--register", "a/b"], "--register 'a/b'"),
        (["--register", "a", "--alias", "latest"], "--alias 'latest'"),
        (["--register", "a", "--alias", "v3"], "--alias 'v3'"),
    ],
)
def test_names_are_refused_before_anything_is_sent(options, message, command, logged_artifact) -> None:
    with pytest.raises(hfspec.UsageError, match=re.escape(message)):
        command("log", logged_artifact[1], *options, "--tracking-uri", "http://127.0.0.1:9")


def test_a_damaged_artifact_and_a_spec_of_another_are_refused(command, logged_artifact, tmp_path) -> None:
    spec, folder = logged_artifact
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    other = tmp_path / "spec.yaml"
    other.write_text(spec.read_text().replace("top_k", "truncation").replace('{"truncation": 1}', "{}"))
    with pytest.raises(hfspec.UsageError, match="does not give this artifact"):
        command("log", copy, "--dry-run", "--spec", other)
    (copy / "README.md").write_text("x")
    with pytest.raises(hfspec.VerificationError, match=r"README\.md"):
        command("log", copy, "--dry-run")


PULLS = [
    ("models:/nobody/1", hfspec.WorldError, "nobody"),
    ("models:/nobody@champion", hfspec.WorldError, "nobody"),
    ("runs:/00000000000000000000000000000000/model", hfspec.WorldError, "says|no files"),
    ("build/minilm", hfspec.UsageError, "is not a model of MLflow"),
    ("models:/", hfspec.UsageError, "is not a model of MLflow"),
]


@pytest.mark.parametrize(("uri", "kind", "message"), PULLS)
def test_pulls_that_are_refused(uri, kind, message, command, tmp_path) -> None:
    with pytest.raises(kind, match=message):
        command("pull", uri, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_another_tool_logged_is_named_with_what_to_do(command, tracking, tmp_path) -> None:
    client = MlflowClient(tracking)
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    model = client.create_logged_model("0", "other")
    client.log_model_artifact(model.model_id, str(tmp_path / "MLmodel"))
    client.finalize_logged_model(model.model_id, "READY")
    with pytest.raises(hfspec.UsageError, match="no artifact of hfspec; a spec with"):
        command("pull", f"models:/{model.model_id}", "-o", tmp_path / "out")
    (tmp_path / "there").mkdir()
    with pytest.raises(hfspec.UsageError, match="exists"):
        command("pull", f"models:/{model.model_id}", "-o", tmp_path / "there")


def test_the_command_in_a_process_of_its_own_prints_no_password(tracking, logged_artifact, tmp_path) -> None:
    address = tracking.replace("http://", "http://ann:secret-word@")
    command = [sys.executable, "-m", "hfspec", "mlflow", "log", str(logged_artifact[1]), "--tracking-uri", address]
    done = subprocess.run(
        [*command, "--no-run"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert "secret-word" not in done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("models:/m-")
    assert list(tmp_path.iterdir()) == []


def test_the_example_of_the_registry(tracking, logged_artifact) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "examples/mlflow_registry.py", str(logged_artifact[0])]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": tracking}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "pulled and verified: True"
    assert lines[-2] == "models:/film-reviews@champion answers 2 sentences"
