"""serve, validate, diff and schema over fleet files."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import hfspec
from hfspec.cli import serve_command
from hfspec.cli.app import app
from hfspec.errors import SpecError, UsageError
from hfspec.serving.fleet.comparison import fleet_diff
from hfspec.serving.fleet.schema import fleet_schema, schema_text
from hfspec.serving.fleet.values import Fleet, parse
from hfspec.tasks import table
from hfspec.tasks.endpoints import PROTOCOLS

ROOT = Path(__file__).parents[2]
RELEASED = ROOT / "tests/released/artifacts/0.1.0"
VALIDATOR = Draft202012Validator(fleet_schema())


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Fleet, Callable[[], Fleet]]]:
    """What serve hands to the server, which ends at once."""
    given: list[tuple[Fleet, Callable[[], Fleet]]] = []

    def run(fleet: Fleet, again: Callable[[], Fleet]) -> int:
        given.append((fleet, again))
        return 0

    monkeypatch.setattr("hfspec.serving.server.run", run)
    monkeypatch.setattr(serve_command, "find_spec", lambda _: object())
    return given


def call(*arguments: object) -> int:
    """The exit code of a command, run in this process."""
    return app([str(argument) for argument in arguments], standalone_mode=False) or 0


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text.replace("RELEASED", str(RELEASED)), encoding="utf-8")
    return folder / name


def test_serve_reads_artifacts_overrides_and_options(served: Any, tmp_path: Path) -> None:
    keys = write(tmp_path, "it's \\ my keys.yaml", "keys: [{name: a, key: long-enough-secret}]\n")
    arguments = ["serve", RELEASED / "chat", "models.chat.replicas=2", "--host", "0.0.0.0", "--port", "0"]
    assert call(*arguments, "--api-keys", keys) == 0
    ((fleet, again),) = served
    assert (fleet.models[0].name, fleet.models[0].replicas) == ("chat", 2)
    assert (fleet.server.host, fleet.server.port) == ("0.0.0.0", 0)
    assert fleet.server.api_keys.keys[0].name == "a"
    assert again() == fleet


def test_serve_reads_a_fleet_file_and_again_when_it_is_asked(served: Any, tmp_path: Path) -> None:
    file = write(tmp_path, "fleet.yaml", "models:\n  a: {artifact: RELEASED/chat}\n")
    assert call("serve", file, "server.port=9000", "--host", "localhost") == 0
    ((fleet, again),) = served
    assert (fleet.server.host, fleet.server.port) == ("localhost", 9000)
    write(tmp_path, "fleet.yaml", "models:\n  b: {artifact: RELEASED/chat}\n")
    assert again().models[0].name == "b"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["server.port=9000"], "nothing to serve is named"),
        ([RELEASED / "chat", RELEASED / "chat"], "given twice"),
        ([RELEASED / "chat", ROOT / "absent.yaml"], "give one fleet file, or artifacts"),
        ([ROOT / "absent.yaml"], "absent.yaml cannot be read"),
    ],
)
def test_serve_refuses_what_cannot_be_served(served: Any, arguments: list[Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call("serve", *arguments)
    assert served == []


def test_serve_tells_every_problem_of_a_fleet(served: Any) -> None:
    with pytest.raises(SpecError) as caught:
        call("serve", RELEASED / "chat", "--host", "0.0.0.0", "--port", "70000", "models.chat.limits.row=2")
    assert [problem.code for problem in caught.value.problems] == ["unknown-key", "open-server", "wrong-value"]
    assert served == []


def test_serve_names_the_extra_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_command, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'hfspec\[serve\]'"):
        call("serve", RELEASED / "chat")


def test_validate_tells_fleet_files_from_specs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "fleet.yaml", "models:\n  a: {artifact: RELEASED/chat}\n")
    write(tmp_path, "two.yml", "models:\n  a: {artifact: RELEASED/embedder}\nserver: {port: 0}\n")
    write(
        tmp_path,
        "spec.yaml",
        f"spec_version: 1\nlibrary: transformers\ntask: fill-mask\nmodel: {{repo: a/b, revision: '{'0' * 40}'}}\n",
    )
    assert call("validate", tmp_path) == 0
    assert capsys.readouterr().out == "1 spec and 2 fleet files are good\n"
    assert call("validate", tmp_path / "fleet.yaml", "models.a.replicas=2") == 0
    assert capsys.readouterr().out == "1 fleet file is good\n"
    assert call("validate", tmp_path / "fleet.yaml", "models.a.replica=2", "--format", "json") == 1
    (problem,) = json.loads(capsys.readouterr().out)
    assert (problem["override"], problem["code"], problem["nearest"]) == (
        "models.a.replica=2",
        "unknown-key",
        "replicas",
    )


def changes(*sides: Any) -> list[tuple[str, str, Any, Any]]:
    return [(change.group, change.key, change.before, change.after) for change in fleet_diff(*sides)]


def test_diff_is_by_meaning(tmp_path: Path) -> None:
    first = write(
        tmp_path,
        "a.yaml",
        "models:\n  a: {artifact: RELEASED/chat}\n  old: {artifact: nowhere}\n"
        "server: {limits: {body: 64MiB}, api_keys: {keys: [{name: k, sha256: '" + "0" * 64 + "'}]}}\n",
    )
    (tmp_path / "sub").mkdir()
    second = write(
        tmp_path,
        "sub/b.yaml",
        f"models:\n  new: {{artifact: x, replicas: 1}}\n  a: {{replicas: 2, artifact: {RELEASED}/../0.1.0/chat}}\n"
        "server: {limits: {body: 67108864}, port: 8001, api_keys: {keys: [{name: k, sha256: '" + "1" * 64 + "'}]}}\n",
    )
    assert changes(str(first), str(second)) == [
        ("models", "a.replicas", 1, 2),
        ("models", "new", None, {"artifact": str(tmp_path / "sub/x")}),
        ("models", "old", {"artifact": str(tmp_path / "nowhere")}, None),
        ("server", "api_keys.keys.k.sha256", "0" * 64, "1" * 64),
        ("server", "port", 8000, 8001),
    ]
    assert changes(str(first), None, ["models.a.limits.rows=5"]) == [("models", "a.limits.rows", 10_000, 5)]
    assert changes(str(first), str(first)) == []


def test_diff_shows_no_value_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLEET_PLACE", "/never/shown")
    monkeypatch.setenv("FLEET_KEY", "never-shown-anywhere")
    text = (
        "models: {a: {artifact: '${oc.env:FLEET_PLACE}/a'}}\n"
        "server: {api_keys: {keys: [{name: k, key: '${oc.env:FLEET_KEY}'}]}}\n"
    )
    before = write(tmp_path, "a.yaml", "models: {a: {artifact: RELEASED/chat}}\n")
    found = changes(str(before), str(write(tmp_path, "b.yaml", text)))
    assert ("models", "a.artifact", str(RELEASED / "chat"), "${oc.env:FLEET_PLACE}/a") in found
    assert "never" not in str(found)
    assert "${oc.env:FLEET_KEY}" in str(found)


def test_diff_compares_with_a_revision_of_git_and_two_of_a_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "fleet.yaml", "models:\n  a: {artifact: build/a}\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "fleet.yaml"], [*identity, "commit", "-qm", "a"]):
        subprocess.run(["git", *command], check=True, timeout=60)
    write(tmp_path, "fleet.yaml", "models:\n  a: {artifact: build/b}\n")
    assert changes("fleet.yaml@HEAD", "fleet.yaml") == [("models", "a.artifact", "build/a", "build/b")]
    assert call("diff", "fleet.yaml@HEAD", "fleet.yaml") == 1
    with pytest.raises(UsageError, match="compare two of a kind"):
        call("diff", "fleet.yaml", ROOT / "specs/minilm.yaml")


def test_the_schema_in_the_tree_is_the_one_that_the_models_give() -> None:
    Draft202012Validator.check_schema(fleet_schema())
    written = (ROOT / "schemas/fleet.schema.json").read_text(encoding="utf-8")
    assert written == schema_text(), "run `hfspec schema` and commit the result"
    bare = [
        f"{name}.{key}"
        for name, definition in fleet_schema()["$defs"].items()
        for key, value in definition.get("properties", {}).items()
        if not value.get("description")
    ]
    assert not bare


MODELS: Any = {"a": {"artifact": "x"}}


def with_server(**server: Any) -> dict[str, Any]:
    return {"models": MODELS, "server": server}


def with_entry(**entry: Any) -> dict[str, Any]:
    return {"models": {"a": {"artifact": "x", **entry}}}


@pytest.mark.parametrize(
    ("document", "good"),
    [
        ({"models": MODELS}, True),
        ({}, False),
        ({"models": {}}, False),
        ({"models": []}, False),
        ({"models": {"a": None}}, False),
        ({"models": {"a b": {"artifact": "x"}}}, False),
        ({"models": {"a": {}}}, False),
        (with_entry(replicas=2.0), True),
        (with_entry(replicas=True), False),
        (with_entry(device="gpu"), False),
        (with_entry(device=None, threads=None, limits={"memory": None}), True),
        (with_entry(limits={"memory": "4 GB"}), False),
        (with_entry(limits={"memory": 0}), False),
        (with_entry(limits={"memory": 1024.0}), True),
        *((with_entry(limits={"prefix_cache": size}), True) for size in (0, "0", "1GiB", 4096)),
        *((with_entry(limits={"prefix_cache": size}), False) for size in (None, -1, "00", "0MiB", False, "much")),
        (with_entry(limits={"timeout": 5}), True),
        (with_entry(limits={"timeout": "5"}), False),
        (with_entry(limits=None), False),
        (with_entry(endpoints=[]), False),
        (with_entry(endpoints=["v2"]), True),
        (with_entry(aliases=["org/name"]), True),
        (with_entry(aliases="name"), False),
        (with_entry(expect_fingerprint="0123"), False),
        (with_entry(name="b"), False),
        (with_server(port=65_536), False),
        (with_server(tls={"certificate": "a"}), False),
        (with_server(api_keys={"keys": [{"name": "a", "key": "short"}]}), False),
        (with_server(api_keys={"keys": [{"name": "a", "key": "long-enough-secret", "scopes": []}]}), False),
        (with_server(cors={"origins": ["example.org"]}), False),
        (with_server(cors={"origins": ["*"]}), True),
        (with_server(logs={"level": "loud"}), False),
        (with_server(telemetry={}), False),
        ({"models": MODELS, "typo": 1}, False),
    ],
)
def test_schema_and_models_say_the_same(document: dict[str, Any], good: bool) -> None:
    assert VALIDATOR.is_valid(document) == good
    try:
        parse(document)
    except ValueError:
        assert not good
    else:
        assert good


def test_tasks_name_the_protocols_that_there_are() -> None:
    named = {protocol for row in table.TASKS for protocol in table.find(*row).protocols}
    assert named == {protocol for protocol, row in PROTOCOLS.items() if not row.asks_all}
    endpoints = fleet_schema()["$defs"]["ModelEntry"]["properties"]["endpoints"]["items"]["enum"]
    assert set(PROTOCOLS) == set(endpoints)


def test_a_spec_says_how_its_artifact_is_served(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    text = "spec_version: 1\nlibrary: transformers\ntask: text-classification\n"
    text += f"model: {{path: {checkpoint('bert-sentiment')}}}\n"
    plain = hfspec.compile(write(tmp_path, "c.yaml", text), output=tmp_path / "plain", run=False)
    text += "serving: {limits: {rows: 5, timeout: 2}, endpoints: [v2]}\n"
    stated = hfspec.compile(write(tmp_path, "c.yaml", text), output=tmp_path / "stated", run=False)
    assert stated.manifest.serving == {"limits": {"rows": 5, "timeout": 2.0}, "endpoints": ("v2",)}
    assert "serving" not in json.loads((plain.path / "artifact.json").read_text(encoding="utf-8"))
    (model,) = serve_fleet(stated.path).models
    assert (model.limits.rows, model.limits.timeout, model.endpoints) == (5, 2, ("v2",))


def serve_fleet(folder: Path) -> Fleet:
    from hfspec.serving.fleet.loading import fleet_of

    return fleet_of([folder])
