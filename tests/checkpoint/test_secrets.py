"""Passwords, tokens and places of other machines: none in a message, none in an artifact without a word."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hfspec
from hfspec.cli.app import app
from hfspec.errors import InputError, SourceError
from hfspec.integrity.verification import read_manifest
from hfspec.redaction import redacted, tokens
from hfspec.report.artifact import render
from tests import interpreters

LETTERS = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF"
SECRETS = [
    f"hf_{LETTERS}xY",
    "hf_" + "a" * 34,
    f"sk-{LETTERS}",
    f"sk-proj-{LETTERS}_x-{LETTERS}",
    f"sk-ant-api03-{LETTERS}",
    "AKIAIOSFODNN7EXAMPLE",
    f"ghp_{LETTERS}1234",
    f"github_pat_{LETTERS}",
    f"AIza{LETTERS}123",
    "xoxb-123456789012-abcdefghijkl",
    f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.{LETTERS}",
    f"glpat-{LETTERS}",
]
PLAIN = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "714eb0fa89d2f80546fda750413ed43d93601a13",
    "distilbert/distilbert-base-uncased-finetuned-sst-2-english",
    "hf_internal_testing/tiny_random_model",
    "task-specific and risk-free",
    "sk-learn-extra-models-for-text-classification",
    "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "https://mlflow.example:5000/team@home",
    "git@github.com:org/repo.git",
    "someone@example.com",
    "specs/x.yaml@HEAD",
    "eyJust a word",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_what_looks_like_a_token_is_not_shown(secret: str) -> None:
    assert [shown for _, _, shown in tokens(f"a {secret} b")] == [f"{secret[:4]}…"]
    assert redacted(f"found: '{secret}'.") == f"found: '{secret[:4]}…'."


@pytest.mark.parametrize("text", PLAIN)
def test_ordinary_words_are_no_secret(text: str) -> None:
    assert redacted(text) == text
    assert list(tokens(text)) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pa%40ss@hub.example/x", "https://***@hub.example/x"),
        ("(http://me:p@ss@10.0.0.1:80)", "(http://***@10.0.0.1:80)"),
        ("http://:secret@h", "http://***@h"),
        (f"https://hf_{LETTERS}@h/x", "https://***@h/x"),
        ("postgresql+psycopg2://u:p@db/mlflow", "postgresql+psycopg2://***@db/mlflow"),
        ("me:secret@hub.example", "***@hub.example"),
        ("https://h/x?a=1&token=abc&b=2", "https://h/x?a=1&token=***&b=2"),
    ],
)
def test_a_password_in_an_address_is_not_shown(text: str, shown: str) -> None:
    assert redacted(text) == shown
    assert str(SourceError(f"no answer from {text}")) == f"no answer from {shown}"
    assert InputError(f"{text}", 3).reason == shown


@pytest.mark.parametrize("endpoint", ["http://me:s3cret@127.0.0.1:9/", "me:s3cret@hub.example"])
@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_a_password_in_the_endpoint_is_in_no_message(tmp_path: Path, endpoint: str, debug: list[str]) -> None:
    (tmp_path / "s.yaml").write_text(
        "{spec_version: 1, library: transformers, task: ner, model: {repo: org/model}}", encoding="utf-8"
    )
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    done = interpreters.run(
        [sys.executable, "-m", "hfspec", "plan", "s.yaml", *debug],
        cwd=tmp_path,
        env={**environment, "HFSPEC_HUB_FIRST_WAIT": "0.01"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 3
    assert "HF_ENDPOINT" in done.stderr
    for word in ("s3cret", "cret@", "me:"):
        assert word not in done.stdout + done.stderr


def test_a_value_that_is_refused_is_not_shown(tmp_path: Path) -> None:
    spec = tmp_path / "s.yaml"
    spec.write_text(f"spec_version: 1\nlibrary: transformers\ntask: hf_{LETTERS}\n{SECRETS[2]}: 1\n", encoding="utf-8")
    overrides = [f"dtype={SECRETS[5]}", f"{SECRETS[6]}=1", "model.repo=https://me:s3cret@h/x"]
    found = hfspec.validate(spec, overrides)
    with pytest.raises(hfspec.SpecError) as caught:
        hfspec.plan(spec, overrides)
    from hfspec.report.problems import render as rendered

    for form in ("text", "json", "github"):
        shown = rendered(found, form) + str(caught.value) + repr(caught.value.problems)
        assert not any(secret in rendered(found, form) for secret in [*SECRETS, LETTERS, "s3cret"])
        assert not any(secret in str(caught.value) for secret in [*SECRETS, LETTERS, "s3cret"]), shown


HOME = "/home/bob/runs/7/llama"
WINDOWS = "C:\\Users\\bob\\llama"


@pytest.fixture(scope="module")
def travelled(checkpoint, tmp_path_factory) -> Path:
    """A spec over a checkpoint that names places of the machine it was trained on, and a token."""
    import shutil

    root = tmp_path_factory.mktemp("travelled")
    folder = Path(shutil.copytree(checkpoint("bert-sentiment"), root / "model"))
    config = json.loads((folder / "config.json").read_text())
    config |= {"_name_or_path": HOME, "note": "a/b", "extra": {"data_dir": WINDOWS, "cache": "/mnt/x/y"}}
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "README.md").write_text(
        f"---\nbase_model: {HOME}\n---\n[{HOME}](https://huggingface.co/{HOME})\n"
        f"See https://h/home/x and /data/model.\nmy token: {SECRETS[0]}\n"
    )
    spec = root / "s.yaml"
    spec.write_text(
        "spec_version: 1\nlibrary: transformers\ntask: text-classification\n"
        f"model: {{path: {folder}}}\ninput_example: [a fine film]\n"
        f"metadata:\n  owner: us\n  token: {SECRETS[0]}\n  tracking: http://me:s3cret@mlflow:5000\n"
    )
    return spec


@pytest.fixture(scope="module")
def compiled(travelled: Path) -> Path:
    return hfspec.compile(travelled, output=travelled.parent / "artifact").path


def test_places_of_another_machine_do_not_travel(compiled: Path, travelled: Path) -> None:
    config = json.loads((compiled / "model" / "config.json").read_text())
    source = json.loads((travelled.parent / "model" / "config.json").read_text())
    cleaned = {"_name_or_path": "llama", "extra": {"data_dir": "llama", "cache": "y"}}
    assert config == {**source, **cleaned}
    assert (compiled / "README.md").read_text() == (
        "---\nbase_model: llama\n---\n[llama](https://huggingface.co/llama)\n"
        f"See https://h/home/x and /data/model.\nmy token: {SECRETS[0]}\n"
    )
    for file in compiled.rglob("*"):
        assert not file.is_file() or b"bob" not in file.read_bytes(), file


def test_the_manifest_says_what_was_changed(compiled: Path) -> None:
    manifest = hfspec.verify(compiled)
    assert set(manifest.cleaned) == {"README.md", "model/config.json"}
    assert "_name_or_path named a path" in manifest.cleaned["model/config.json"][0]
    assert manifest.makers == {"hfspec": hfspec.__version__}
    assert "extra.data_dir" in render(read_manifest(compiled), "text")


def test_the_answers_are_those_of_the_checkpoint(compiled: Path, travelled: Path) -> None:
    from transformers import pipeline

    expected = pipeline("text-classification", str(travelled.parent / "model"))("a fine film")[0]
    (answer,) = hfspec.load(compiled).predict(["a fine film"]).to_dict("records")
    assert answer["label"] == expected["label"]
    assert answer["score"] == pytest.approx(expected["score"], abs=1e-6)


def test_plan_says_all_of_it_with_its_place(travelled: Path) -> None:
    notes = "\n".join(hfspec.plan(travelled).notes)
    assert f"{travelled}:8:3: metadata.token holds what looks like a token of the Hugging Face Hub (hf_a…)" in notes
    assert f"{travelled}:9:3: metadata.tracking holds a password in an address" in notes
    assert "README.md:6 holds what looks like a token" in notes
    assert "README.md: lines 2, 4 named a path" in notes
    assert "model/config.json: _name_or_path named a path" in notes
    assert LETTERS not in notes
    assert "s3cret" not in notes


def test_a_password_is_not_in_the_artifact(compiled: Path) -> None:
    for file in compiled.rglob("*"):
        assert not file.is_file() or b"s3cret" not in file.read_bytes(), file
    assert read_manifest(compiled).metadata["tracking"] == "http://***@mlflow:5000"


def test_validate_warns_and_is_content(travelled: Path) -> None:
    done = interpreters.run(
        [sys.executable, "-m", "hfspec", "validate", str(travelled)], text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "1 spec is good\n")
    assert f"warning: {travelled}:8:3: metadata.token" in done.stderr
    assert LETTERS not in done.stderr


def test_lock_says_it_too(travelled: Path) -> None:
    done = CliRunner().invoke(app, ["lock", str(travelled)])
    said = f"warning: {travelled}:8:3: metadata.token holds what looks like a token"
    assert done.exit_code == 0
    assert done.stderr.count(said) == 1
    assert "note: README.md:6 holds what looks like a token" in done.stderr
    quiet = CliRunner().invoke(app, ["lock", "-q", str(travelled)])
    checked = CliRunner().invoke(app, ["lock", "--check", "-q", str(travelled)])
    travelled.with_name(f"{travelled.name}.lock").unlink()
    for each in (quiet, checked):
        assert said in each.stderr
        assert "README.md:6" not in each.stderr
    assert LETTERS not in done.output + quiet.output + checked.output


def test_a_checkpoint_that_names_no_place_is_taken_as_it_is(checkpoint, tmp_path: Path) -> None:
    spec = tmp_path / "s.yaml"
    spec.write_text(
        "spec_version: 1\nlibrary: transformers\ntask: text-classification\n"
        f"model: {{path: {checkpoint('bert-sentiment')}}}\nmetadata: {{commit: {PLAIN[2]}, digest: {PLAIN[0]}}}\n"
    )
    plan = hfspec.plan(spec)
    assert plan.cleaned == {}
    assert not [note for note in plan.notes if "looks like" in note or "named a path" in note]


def test_an_adapters_card_and_config_are_cleaned(checkpoint, tmp_path: Path) -> None:
    from tests.checkpoints.adapters import ADAPTERS, make_adapter

    base = checkpoint(ADAPTERS["gpt2-lora"][0])
    folder = make_adapter("gpt2-lora", base, tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text()) | {"base_model_name_or_path": "/home/bob/gpt2"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "README.md").write_text(f"---\nbase_model: {HOME}\n---\nFrom {WINDOWS}.\n")
    spec = tmp_path / "s.yaml"
    spec.write_text(
        "spec_version: 1\nlibrary: transformers\ntask: text-generation\n"
        f"model: {{path: {base}}}\nadapter: {{path: {folder}}}\n"
    )
    plan = hfspec.plan(spec)
    assert "adapter/README.md" in plan.cleaned
    artifact = hfspec.compile(spec, output=tmp_path / "artifact")
    for file in artifact.path.rglob("*"):
        assert not file.is_file() or b"bob" not in file.read_bytes(), file
    assert (artifact.path / "adapter/README.md").read_text() == "---\nbase_model: llama\n---\nFrom llama.\n"
