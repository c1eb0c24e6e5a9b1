"""A container's folder: its own validators accept it, and its steps, done by hand, give a server."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import hfspec
from hfspec.export.docker import Options
from hfspec.export.exporting import export
from hfspec.ir.artifact import Artifact
from tests.compiling import tree_of, write_spec
from tests.export.image import Image, build

KEY = "0123456789abcdef"
KEYS = json.dumps({"keys": [{"name": "tests", "key": KEY}]})


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory, index: Path, compiled: Callable[[str], Artifact]) -> Path:
    """The folder for `docker build`. Never write into it."""
    folder = tmp_path_factory.mktemp("docker") / "context"
    export("docker", compiled("bert-sentiment").path, folder, Options())
    return folder


@pytest.fixture(scope="module")
def image(context: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build(context, tmp_path_factory.mktemp("image") / "root")


class Started:
    """The container's command, at a free port."""

    def __init__(self, image: Image, folder: Path) -> None:
        environment = {**image.environment, "HOME": str(folder), "HFSPEC_API_KEYS": KEYS, "OMP_NUM_THREADS": "1"}
        command = [*image.entrypoint, *image.command, "server.port=0", "server.host=127.0.0.1"]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd=folder)
        self.lines: list[str] = []
        self.url = ""
        assert self.process.stderr is not None
        for line in self.process.stderr:  # ends with the process, which ends where it cannot start
            self.lines.append(line)
            if found := re.search(r"ready at (http://[^\s\"]+)", line):
                self.url = found[1]
                return

    def close(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)

    def asked(self, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
        request = urllib.request.Request(
            self.url + path, None if body is None else json.dumps(body).encode(), {"content-type": "application/json"}
        )
        if key:
            request.add_header("authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


def test_the_steps_of_the_dockerfile_give_a_server_that_ends_by_sigterm(image, compiled, tmp_path) -> None:
    server = Started(image, tmp_path)
    try:
        assert server.url, "".join(server.lines)
        assert server.asked("/live")[0] == 200
        health = [part.replace("http://127.0.0.1:8000", server.url) for part in image.health]
        assert subprocess.run(health, timeout=60, check=False).returncode == 0
        body = {"inputs": ["a fine film"]}
        place = f"/models/{compiled('bert-sentiment').manifest.name}/predict"
        assert server.asked(place, body)[0] == 401
        status, answer = server.asked(place, body, KEY)
        assert status == 200
        expected = hfspec.load(compiled("bert-sentiment").path).predict_json(["a fine film"])
        assert json.loads(answer)["predictions"] == [
            {"label": expected[0]["label"], "score": pytest.approx(expected[0]["score"], abs=1e-5)}
        ]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
    finally:
        server.close()


def test_a_container_whose_weights_were_changed_does_not_start(image, tmp_path) -> None:
    weights = next(image.folder.rglob("model.safetensors"))
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        server = Started(image, tmp_path)
        server.process.wait(60)
        server.close()
    finally:
        weights.write_bytes(content)
    assert server.process.returncode == 3
    assert "model/model.safetensors" in "".join(server.lines)
    assert "Traceback" not in "".join(server.lines)


def test_the_container_holds_what_the_artifact_holds_and_the_hashes_of_all_packages(context, image, compiled) -> None:
    artifact = compiled("bert-sentiment")
    assert tree_of(image.folder / "models" / artifact.manifest.name) == tree_of(artifact.path)
    lines = (context / "requirements.txt").read_text().splitlines()[1:]
    assert all(re.fullmatch(r"\S+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)
    assert {"torch", "transformers", "uvicorn", "pydantic"} <= {line.partition("==")[0] for line in lines}
    dockerfile = (context / "Dockerfile").read_text().splitlines()
    copies = [line for line in dockerfile if line.startswith("COPY")]
    weights = next(place for place, line in enumerate(copies) if "model.safetensors" in line)
    assert weights < next(place for place, line in enumerate(copies) if '"artifact/"' in line)
    assert image.user.split(":")[0] not in {"0", "root", ""}
    assert image.entrypoint[0].endswith("venv/bin/hfspec")


def test_dockerignore_takes_exactly_what_is_copied(context) -> None:
    kept = {line[1:] for line in (context / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for line in (context / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ["):
            copied |= {source.split("/")[0] for source in json.loads(line.removeprefix("COPY "))[:-1]}
    assert kept == copied
    assert not any("__pycache__" in line for line in (context / ".dockerignore").read_text().splitlines())


def test_the_same_artifact_gives_the_same_folder(context, compiled, tmp_path) -> None:
    options = Options(requirements=context / "requirements.txt")
    export("docker", compiled("bert-sentiment").path, tmp_path / "again", options)
    assert tree_of(tmp_path / "again") == tree_of(context)


def test_hadolint_and_the_schema_of_compose_find_nothing(context, compiled, validators, tmp_path) -> None:
    every = ({}, {"cuda": True}, {"allow_anonymous": True}, {"base": f"python:3.11-slim@sha256:{'a' * 64}"})
    folders = [tmp_path / str(number) for number, _ in enumerate(every)]
    for folder, chosen in zip(folders, every, strict=True):
        options = Options(**chosen, requirements=context / "requirements.txt")
        export("docker", compiled("bert-sentiment").path, folder, options)
    asked: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120, "cwd": tmp_path}
    lint = [validators.with_name("hadolint"), *(folder / "Dockerfile" for folder in folders)]
    found = subprocess.run(lint, check=False, **asked)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    composed = [folder / "compose.yaml" for folder in folders]
    check = [validators.with_name("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", *composed]
    checked = subprocess.run(check, check=False, **asked)
    assert checked.returncode == 0, checked.stdout
    for folder in folders:
        service = next(iter(yaml.safe_load((folder / "compose.yaml").read_text())["services"].values()))
        assert service["read_only"]
        server = yaml.safe_load((folder / "fleet.yaml").read_text())["server"]
        assert ("api_keys" in server) != ("allow_anonymous" in server)


def test_a_base_by_digest_and_a_gpu_are_taken_over(context, compiled, tmp_path) -> None:
    base = f"registry.example.org:5000/team/python@sha256:{'b' * 64}"
    options = Options(base=base, cuda=True, requirements=context / "requirements.txt")
    export("docker", compiled("bert-sentiment").path, tmp_path / "out", options)
    assert f"FROM {base} AS base" in (tmp_path / "out" / "Dockerfile").read_text()
    devices = yaml.safe_load((tmp_path / "out" / "compose.yaml").read_text())["services"].popitem()[1]["deploy"]
    assert devices["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert "device: cuda" in (tmp_path / "out" / "fleet.yaml").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base": "python"}, "another image tomorrow"),
        ({"base": "python:latest"}, "another image tomorrow"),
        ({"base": "Python 3"}, "no name of an image"),
        ({"requirements": Path("nowhere.txt")}, "cannot be read"),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused_and_nothing_is_written(options, said, compiled, tmp_path) -> None:
    with pytest.raises(hfspec.UsageError, match=said):
        export("docker", compiled("bert-sentiment").path, tmp_path / "out", Options(**options))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "said"),
    [("torch>=2\n", "without a version and a hash"), (f"torch==2.13.0 --hash=sha256:{'0' * 64}\n", "lacks.*uvicorn")],
)
def test_a_file_of_requirements_must_have_every_package_and_its_hash(text, said, compiled, tmp_path) -> None:
    (tmp_path / "requirements.txt").write_text(text)
    with pytest.raises(hfspec.UsageError, match=said):
        export(
            "docker",
            compiled("bert-sentiment").path,
            tmp_path / "out",
            Options(requirements=tmp_path / "requirements.txt"),
        )
    assert not (tmp_path / "out").exists()


def test_packages_that_pip_does_not_find_are_named(compiled, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(hfspec.SourceError, match="PIP_INDEX_URL"):
        export("docker", compiled("bert-sentiment").path, tmp_path / "out", Options())
    assert not (tmp_path / "out").exists()


def test_nothing_but_an_export_is_replaced(context, compiled, tmp_path) -> None:
    artifact, out = compiled("bert-sentiment").path, tmp_path / "out"
    options = Options(requirements=context / "requirements.txt")
    export("docker", artifact, out, options)
    before = tree_of(out)
    with pytest.raises(hfspec.UsageError, match="--overwrite"):
        export("docker", artifact, out, options)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(hfspec.UsageError, match=r"notes\.txt"):
        export("docker", artifact, out, options, overwrite=True)
    (out / "notes.txt").unlink()
    (out / "fleet.yaml").write_text("edited")
    export("docker", artifact, out, options, overwrite=True)
    assert tree_of(out) == before
    for place in (tmp_path / "file", tmp_path / "link", artifact / "inside"):
        if place.name == "file":
            place.write_text("")
        if place.name == "link":
            place.symlink_to(out)
        with pytest.raises(hfspec.UsageError):
            export("docker", artifact, place, options, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "out"]


def test_a_damaged_artifact_and_one_without_weights_are_refused(context, artifact, checkpoint, tmp_path) -> None:
    options = Options(requirements=context / "requirements.txt")
    (artifact / "model" / "config.json").write_text("{}")
    with pytest.raises(hfspec.VerificationError, match=r"config\.json"):
        export("docker", artifact, tmp_path / "out", options)
    spec = write_spec(tmp_path / "spec", checkpoint("bert-sentiment"), save_mode="reference")
    reference = hfspec.compile(spec, output=tmp_path / "reference", run=False).path
    with pytest.raises(hfspec.UsageError, match="hfspec persist"):
        export("docker", reference, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_a_disk_that_is_full_leaves_what_was_there(context, compiled, tmp_path, monkeypatch) -> None:
    out, options = tmp_path / "out", Options(requirements=context / "requirements.txt")
    export("docker", compiled("bert-sentiment").path, out, options)
    before = tree_of(out)

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28), "model.safetensors")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(hfspec.StorageError, match="No space left"):
        export("docker", compiled("bert-sentiment").path, out, options, overwrite=True)
    monkeypatch.undo()
    assert tree_of(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
