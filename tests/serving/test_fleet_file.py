"""Fleet files as folders of cases, and what is made of them.

A case has fleet.yaml, overrides.txt (one a line), environment.txt (NAME=value a line), the files that it names, and
expected.txt: of an invalid one the report that a person gets. ``HFSPEC_UPDATE_GOLDEN=1`` rewrites the reports.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hfspec.checkpoint.codes import CODES as CHECKPOINT_CODES
from hfspec.errors import SpecError, UsageError
from hfspec.integrity.verification import read_manifest
from hfspec.ir.frozen import FrozenDict
from hfspec.language.codes import CODES as LANGUAGE_CODES
from hfspec.report.problems import render
from hfspec.serving.fleet.codes import CODES
from hfspec.serving.fleet.loading import FleetSource, fleet_of, load_fleet, problems
from hfspec.serving.fleet.recognition import is_fleet
from hfspec.serving.fleet.values import Fleet

CASES = Path(__file__).parent / "fleet_cases"
RELEASED = Path(__file__).parents[1] / "released/artifacts/0.1.0"
SENTENCE = re.compile(r"(?s)([A-Z]|[`'\"$]).*[.'`]")
# What the cases hold in their environment and key files, and no message may show.
SECRETS = re.compile(r"never-shown|never shown|short-secret|pasted-here|long-enough|guesses|from-the-environment")


def cases(kind: str) -> list[str]:
    return sorted(folder.name for folder in (CASES / kind).iterdir() if (folder / "fleet.yaml").is_file())


def lines(name: str) -> list[str]:
    return Path(name).read_text(encoding="utf-8").splitlines() if Path(name).is_file() else []


@pytest.fixture
def enter(monkeypatch: pytest.MonkeyPatch) -> Any:
    def enter(kind: str, name: str) -> list[str]:
        monkeypatch.chdir(CASES / kind / name)
        for line in lines("environment.txt"):
            variable, _, value = line.partition("=")
            monkeypatch.setenv(variable, value)
        return lines("overrides.txt")

    return enter


def load_case(enter: Any, name: str) -> Fleet:
    return load_fleet(Path("fleet.yaml"), enter("valid", name))


@pytest.mark.parametrize("name", cases("valid"))
def test_valid(name: str, enter: Any) -> None:
    fleet = load_case(enter, name)
    assert fleet.models
    assert all(Path(model.artifact).is_absolute() and Path(model.artifact).is_dir() for model in fleet.models)
    assert problems(Path("fleet.yaml"), lines("overrides.txt")) == ()
    assert is_fleet(Path("fleet.yaml"))


@pytest.mark.parametrize("name", cases("invalid"))
def test_invalid(name: str, enter: Any) -> None:
    overrides = enter("invalid", name)
    with pytest.raises(SpecError) as caught:
        load_fleet(Path("fleet.yaml"), overrides)
    found = caught.value.problems
    assert {problem.code for problem in found} <= {*LANGUAGE_CODES, *CHECKPOINT_CODES, *CODES}
    for problem in found:
        assert SENTENCE.fullmatch(problem.message), problem.message
    report = render(found) + "\n"
    assert not SECRETS.search(report + render(found, "json") + render(found, "github") + str(caught.value))
    golden = Path("expected.txt")
    if os.environ.get("HFSPEC_UPDATE_GOLDEN"):
        golden.write_text(report, encoding="utf-8")
    assert report == golden.read_text(encoding="utf-8")
    assert found == problems(Path("fleet.yaml"), overrides)


def test_there_are_more_invalid_cases_than_valid_ones() -> None:
    assert len(cases("valid")) >= 12
    assert len(cases("invalid")) > len(cases("valid"))


def test_every_code_of_fleets_occurs_in_a_case(enter: Any) -> None:
    seen: set[str] = set()
    for name in cases("invalid"):
        overrides = enter("invalid", name)
        seen |= {problem.code for problem in problems(Path("fleet.yaml"), overrides)}
    assert set(CODES) - seen == {"consent"}, "that one needs an artifact with code of its own"


def test_what_is_not_said_has_the_defaults_of_one_machine(enter: Any) -> None:
    fleet = load_case(enter, "one_model")
    (model,) = fleet.models
    assert (model.name, model.replicas, model.endpoints, model.threads) == ("embedder", 1, None, None)
    assert (model.limits.rows, model.limits.timeout) == (10_000, 300)
    assert not model.trust_remote_code
    assert not model.urls_in_inputs
    assert (fleet.server.host, fleet.server.port, fleet.server.api_keys) == ("127.0.0.1", 8000, None)
    assert (fleet.server.limits.body, fleet.server.cors.origins) == (64 << 20, ())
    assert not fleet.server.logs.bodies


def test_sizes_are_counted_in_bytes(enter: Any) -> None:
    fleet = load_case(enter, "every_key")
    assert (fleet.server.limits.body, fleet.server.limits.header) == (10**9, 16 << 10)
    assert (fleet.models[0].limits.memory, fleet.models[0].limits.prefix_cache) == (3 << 29, 0)
    assert fleet.models[0].inference["batch_tokens"] == 512


def test_a_model_is_found_by_its_name_and_its_aliases(enter: Any) -> None:
    fleet = load_case(enter, "every_key")
    assert fleet.models[0].names == ("embedder", "text-embedding-3-small", "embed.v1")
    assert {fleet.model(name) for name in fleet.models[0].names} == {fleet.models[0]}
    assert fleet.model("other") is None


def test_keys_of_every_place_count_together_and_only_their_digests_are_kept(enter: Any) -> None:
    keys = load_case(enter, "keys_from_everywhere").server.api_keys
    assert keys is not None
    assert [(key.name, key.scopes) for key in keys.keys] == [
        ("ci", ("predict",)),
        ("ops", ("admin",)),
        ("pod", ("predict",)),
        ("inline", ("predict",)),
        ("digest", ("predict", "admin")),
    ]
    assert keys.keys[0].sha256 == hashlib.sha256(b"a-key-that-nobody-guesses").hexdigest()
    assert keys.keys[3].sha256 == hashlib.sha256(b"from-the-environment-2").hexdigest()
    assert all(key.key is None for key in keys.keys)
    assert not SECRETS.search(repr(keys) + keys.model_dump_json())


def test_places_go_by_the_file_that_names_them_and_by_the_current_folder_in_overrides(enter: Any) -> None:
    assert load_case(enter, "layers").models[0].artifact == str(RELEASED / "embedder")
    assert load_case(enter, "overrides").model("gpt").artifact == str(RELEASED / "generator")  # type: ignore[union-attr]
    socket = load_case(enter, "a_unix_socket").server.unix_socket
    assert socket == str(CASES / "valid/a_unix_socket/run/hfspec.sock")


def test_values_of_the_environment_are_taken_and_decoded(enter: Any) -> None:
    fleet = load_case(enter, "environment_in_places")
    assert (fleet.server.host, fleet.server.port) == ("127.0.0.1", 9100)
    assert fleet.models[0].artifact == str(RELEASED / "embedder")


def test_layers_lie_over_each_other(enter: Any) -> None:
    fleet = load_case(enter, "layers")
    assert (fleet.server.port, fleet.server.grace) == (9001, 5)
    assert (fleet.models[0].name, fleet.models[0].replicas, fleet.models[0].limits.rows) == ("small", 3, 7)
    assert load_fleet(Path("fleet.yaml"), ["models.small.replicas=4"]).models[0].replicas == 4


def test_artifacts_are_served_under_the_names_of_their_manifests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(RELEASED)
    fleet = fleet_of([Path("embedder"), Path("chat")], ["models.chat.replicas=2", "server.port=0"])
    assert [(model.name, model.replicas) for model in fleet.models] == [("embedder", 1), ("chat", 2)]
    assert fleet.server.port == 0
    assert fleet.models[0].artifact == str(RELEASED / "embedder")


def test_a_folder_beside_artifacts_is_no_config_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "server").mkdir()
    (tmp_path / "server/port.yaml").write_text("port: 1\n", encoding="utf-8")
    assert fleet_of([RELEASED / "embedder"], ["server={port: 9000}"]).server.port == 9000


def test_two_artifacts_of_one_name_are_to_be_named() -> None:
    with pytest.raises(UsageError, match=r"name them in a fleet file:\nmodels:\n  classifier: ") as caught:
        fleet_of([RELEASED / "classifier", RELEASED.parent / "0.1.0-code-folder/classifier"])
    assert "classifier-2: {artifact: " in str(caught.value)
    with pytest.raises(UsageError, match=r"given twice; to have two processes of it, write models\.chat\.replicas=2"):
        fleet_of([RELEASED / "chat", RELEASED / "chat"])


def test_every_artifact_that_is_none_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        fleet_of([tmp_path / "absent", RELEASED / "chat", tmp_path])
    assert sorted(problem.code for problem in caught.value.problems) == ["no-such-folder", "not-an-artifact"]
    assert str(tmp_path / "absent") in str(caught.value.problems)


def test_a_source_is_read_again_with_what_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(f"models:\n  a: {{artifact: {RELEASED / 'embedder'}}}\n", encoding="utf-8")
    source = FleetSource((file,), ("server.port=9000",))
    assert source.load().models[0].replicas == 1
    file.write_text(f"models:\n  a: {{artifact: {RELEASED / 'embedder'}, replicas: 2}}\n", encoding="utf-8")
    assert source.load().models[0].replicas == 2
    assert source.load().server.port == 9000
    with pytest.raises(UsageError, match="give one fleet file, or artifacts"):
        FleetSource((file, RELEASED / "embedder")).load()


def test_a_link_to_an_artifact_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(RELEASED / "embedder")
    assert fleet_of([tmp_path / "current"]).models[0].artifact == str(tmp_path / "current")


def stated(folder: Path, name: str, **changes: Any) -> Path:
    """A folder with the manifest of a released artifact, changed: all that a fleet is checked by."""
    folder.mkdir()
    (folder / "artifact.json").write_bytes(replace(read_manifest(RELEASED / name), **changes).to_bytes())
    return folder


def test_code_of_an_artifact_needs_the_consent_of_the_fleet(tmp_path: Path) -> None:
    folder = stated(tmp_path / "x", "classifier", code=FrozenDict({"model": "model/modeling_x.py:X"}))
    with pytest.raises(SpecError) as caught:
        fleet_of([folder])
    assert [problem.code for problem in caught.value.problems] == ["consent"]
    assert "trust_remote_code: true" in caught.value.problems[0].remedy
    assert fleet_of([folder], ["models.classifier.trust_remote_code=true"]).models[0].trust_remote_code


def test_what_the_artifact_states_lies_below_the_fleet_file_and_the_overrides(tmp_path: Path) -> None:
    serving = FrozenDict({"limits": {"rows": 7, "timeout": 2.5}, "endpoints": ["openai", "hfspec"]})
    folder = stated(tmp_path / "x", "embedder", serving=serving)
    model = fleet_of([folder]).models[0]
    assert (model.limits.rows, model.limits.timeout, model.endpoints) == (7, 2.5, ("openai", "hfspec"))
    assert model.limits.queue_rows == 20_000
    file = tmp_path / "fleet.yaml"
    file.write_text("models:\n  a: {artifact: x, limits: {rows: 8, memory: 1GB}, endpoints: [v2]}\n", encoding="utf-8")
    model = load_fleet(file, ["models.a.limits.timeout=3"]).models[0]
    assert (model.limits.rows, model.limits.timeout, model.endpoints) == (8, 3, ("v2",))


def test_a_spec_and_other_files_are_no_fleet(tmp_path: Path) -> None:
    texts = {
        "spec.yaml": "spec_version: 1\ntask: text-classification\nmodels: {repo: a/b}\n",
        "part.yaml": "model_config: {models: 1}\n",
        "empty.yaml": "",
        "broken.yaml": "models: [\n",
        "server.yaml": "defaults: [base, _self_]\nserver: {port: 1}\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = {name: is_fleet(tmp_path / name) for name in [*texts, "absent.yaml"]}
    assert [name for name in found if found[name]] == ["broken.yaml", "server.yaml"]
