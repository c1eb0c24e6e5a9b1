"""Adapters from wherever they come, with the base wherever it lies: pinned, locked, compared, checked to be a pair."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch
from transformers import AutoTokenizer
from typer.testing import CliRunner

import hfspec
from hfspec.cli.app import app
from hfspec.comparison.diff import diff
from hfspec.errors import SpecError
from tests.checkpoints.adapters import ADAPTERS
from tests.hub.repository import read_folder

NAME = "sentiment-lora"
BASE = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
REPO = "somebody/sentiment-lora"
TEXTS = ["what a fine film", "the worst of all"]


def declaring(folder, base, **keys):
    path = folder / "adapter_config.json"
    config = {**json.loads(path.read_text()), "base_model_name_or_path": base, **keys}
    path.write_text(json.dumps(config))
    return folder


def rows(predictor):
    return predictor.predict(TEXTS).to_dict("records")


@pytest.fixture
def expected(spec_with, tmp_path):
    """The answers from folders, which another test compares with peft's own."""
    return rows(hfspec.load(hfspec.compile(spec_with(NAME, "text-classification"), output=tmp_path / "plain").path))


def test_from_the_hub_at_a_commit(hub, own_adapter, spec_with, tmp_path, expected):
    folder = declaring(own_adapter(NAME), BASE)
    (folder / "tokenizer.json").write_text("{}")
    commit = hub.publish(REPO, {**read_folder(folder), "training_args.bin": b"x" * 2000}, tag="v2")
    spec = spec_with(
        NAME, "text-classification", adapter={"repo": REPO, "revision": "v2"}, model={"repo": BASE, "revision": "v1.0"}
    )
    plan = hfspec.plan(spec)
    assert any("a tokenizer that is not the model's (tokenizer.json)" in note for note in plan.notes)
    assert any("training_args.bin" in note for note in plan.notes)
    artifact = hfspec.compile(spec, output=tmp_path / "artifact")
    (source,) = [source for source in artifact.manifest.sources if source.role == "adapter"]
    assert (source.kind, source.location, source.revision, source.commit) == ("repo", REPO, "v2", commit)
    assert commit in (artifact.path / "spec.yaml").read_text()
    assert rows(hfspec.load(artifact.path)) == expected


def test_locked(hub, own_adapter, spec_with, tmp_path, expected):
    folder = declaring(own_adapter(NAME), BASE)
    first = hub.publish(REPO, read_folder(folder))
    spec = spec_with(NAME, "text-classification", adapter={"repo": REPO}, model={"repo": BASE})
    (entry,) = [source for source in hfspec.lock(spec).lock.sources if source.role == "adapter"]
    assert {file.path for file in entry.files} >= {"adapter_config.json", "adapter_model.safetensors"}
    assert entry.commit == first
    changed = declaring(folder, BASE, lora_alpha=32)
    assert hub.publish(REPO, read_folder(changed)) != first
    assert {change.place.split(":")[0] for change in hfspec.check_lock(spec)} == {"adapter"}
    artifact = hfspec.compile(spec, output=tmp_path / "artifact", locked=True)
    assert rows(hfspec.load(artifact.path)) == expected


def test_a_diff_shows_another_adapter(spec_with, tmp_path, own_adapter):
    one = hfspec.compile(spec_with(NAME, "text-classification"), output=tmp_path / "one").path
    changed = declaring(own_adapter(NAME), "bert-sentiment", lora_alpha=32)
    spec = spec_with(NAME, "text-classification", {"path": str(changed)})
    two = hfspec.compile(spec, output=tmp_path / "two").path
    assert any("adapter/adapter_config.json" in str(change) for change in diff(str(one), str(two)))
    merged = hfspec.compile(spec, output=tmp_path / "merged", overrides=["adapter.merge=true"]).path
    (said,) = [change for change in diff(str(two), str(merged)) if change.group == "adapter"]
    assert (said.before, said.after) == ("beside the model", "merged into the model")
    shown = (
        CliRunner().invoke(app, ["inspect", str(merged)]).stdout + CliRunner().invoke(app, ["plan", str(spec)]).stdout
    )
    assert re.findall("adapter +(beside|merged)", shown) == ["merged", "beside"]


def test_from_a_package(own_adapter, spec_with, checkpoint, tmp_path, monkeypatch, expected):
    """Base and adapter as folders of one installed package."""
    package = tmp_path / "site" / "tiny_sentiment"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('never imported')")
    shutil.copytree(checkpoint(ADAPTERS[NAME][0]), package / "bert-sentiment")
    own_adapter(NAME).rename(package / "lora")
    monkeypatch.syspath_prepend(tmp_path / "site")
    places = {"model": {"package": "tiny_sentiment/bert-sentiment"}, "adapter": {"package": "tiny_sentiment/lora"}}
    artifact = hfspec.compile(spec_with(NAME, "text-classification", **places), output=tmp_path / "artifact")
    assert rows(hfspec.load(artifact.path)) == expected


def test_pickled_weights_are_converted(own_adapter, spec_with, tmp_path, expected):
    from safetensors.torch import load_file

    folder = own_adapter(NAME)
    torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()
    spec = spec_with(NAME, "text-classification", {"path": str(folder)})
    artifact = hfspec.compile(spec, output=tmp_path / "artifact")
    assert sorted(path.name for path in (artifact.path / "adapter").iterdir() if "model" in path.name) == [
        "adapter_model.safetensors"
    ]
    assert rows(hfspec.load(artifact.path)) == expected
    merged = hfspec.compile(spec, overrides=["adapter.merge=true"], output=tmp_path / "merged")
    for mine, theirs in zip(rows(hfspec.load(merged.path)), expected, strict=True):
        assert mine == {"label": theirs["label"], "score": pytest.approx(theirs["score"], abs=1e-5)}


# Declared base, keys of its config -> whether it is taken for the spec's: the folder bert-sentiment.
DECLARED = {
    "the folder's name on another machine": ("/home/ann/models/bert-sentiment", {}, True),
    "with a slash at the end": ("./bert-sentiment/", {}, True),
    "on another system": ("C:\\models\\bert-sentiment", {}, True),
    "nothing": (None, {}, True),
    "a repository of that name": ("ann/bert-sentiment", {}, True),
    "another folder": ("/home/ann/models/bert", {}, False),
    "another repository": ("google-bert/bert-base-uncased", {}, False),
}


@pytest.mark.parametrize("case", DECLARED)
def test_the_declared_base_of_a_folder(case, own_adapter, spec_with):
    declared, keys, same = DECLARED[case]
    folder = declaring(own_adapter(NAME), declared, **keys)
    check(spec_with(NAME, "text-classification", {"path": str(folder)}), same)


COMMIT = "0" * 40
REPOS = {
    "the same": (BASE, {}, True),
    "at the spec's tag": (BASE, {"revision": "v1.0"}, True),
    "at a branch": (BASE, {"revision": "main"}, True),
    "a folder of its name": (f"/data/{BASE.split('/')[1]}", {}, True),
    "its old name without an owner": (BASE.split("/")[1], {}, True),
    "of another owner": (f"ann/{BASE.split('/')[1]}", {}, False),
    "at another commit": (BASE, {"revision": COMMIT}, False),
    "in the hub's cache at another commit": (f"models--{BASE.replace('/', '--')}/snapshots/{COMMIT}", {}, False),
}


@pytest.mark.parametrize("case", REPOS)
def test_the_declared_base_of_a_repository(case, hub, own_adapter, spec_with):
    declared, keys, same = REPOS[case]
    folder = declaring(own_adapter(NAME), declared, **keys)
    model = {"repo": BASE, "revision": "v1.0"}
    check(spec_with(NAME, "text-classification", {"path": str(folder)}, model=model), same)


def check(spec, same):
    if same:
        hfspec.plan(spec)
        return
    with pytest.raises(SpecError) as caught:
        hfspec.plan(spec)
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("adapter-base", ("adapter",))
    assert "allow_base_mismatch" in problem.remedy
    assert "/home" not in problem.found
    assert "/root" not in problem.found


def test_a_mismatch_that_the_spec_allows(own_adapter, spec_with, tmp_path):
    folder = declaring(own_adapter(NAME), "ann/other")
    allowed = {"path": str(folder), "allow_base_mismatch": "a copy of it, under our name"}
    spec = spec_with(NAME, "text-classification", allowed)
    (note,) = [note for note in hfspec.plan(spec).notes if "trained on ann/other" in note]
    assert note.endswith("allowed, since: a copy of it, under our name")
    artifact = hfspec.compile(spec, output=tmp_path / "artifact")
    assert "a copy of it, under our name" in (artifact.path / "spec.yaml").read_text()
    needless = spec_with(NAME, "text-classification", {"allow_base_mismatch": "who knows"})
    assert any("allow_base_mismatch is not needed" in note for note in hfspec.plan(needless).notes)


def logits(artifact):
    """What the artifact's model says of the first text."""
    parts = hfspec.load(artifact).components()
    with torch.inference_mode():
        return parts["model"](**parts["tokenizer"](TEXTS[0], return_tensors="pt")).logits


@pytest.fixture
def places(hub, own_adapter, checkpoint, tmp_path, monkeypatch):
    """Kind of source -> where base and adapter are, as a spec says it."""
    package = tmp_path / "site" / "tiny_sentiment"
    shutil.copytree(checkpoint("bert-sentiment"), package / "bert-sentiment")
    monkeypatch.syspath_prepend(tmp_path / "site")
    folder = declaring(own_adapter(NAME), BASE)
    hub.publish(REPO, read_folder(folder))
    shutil.copytree(declaring(folder, "bert-sentiment"), package / "lora")
    return {
        "repo": {"model": {"repo": BASE}, "adapter": {"repo": REPO}},
        "path": {"model": {"path": str(checkpoint("bert-sentiment"))}, "adapter": {"path": str(folder)}},
        "package": {
            "model": {"package": "tiny_sentiment/bert-sentiment"},
            "adapter": {"package": "tiny_sentiment/lora"},
        },
    }


@pytest.mark.parametrize(("kind", "dtype"), [("repo", "auto"), ("path", "bfloat16"), ("package", "auto")])
def test_by_reference_persisted_and_moved(kind, dtype, places, spec_with, directly, checkpoint, tmp_path):
    """The adapter is saved and the base pinned; the answers are peft's own throughout."""
    spec = spec_with(NAME, "text-classification", **places[kind], dtype=dtype)
    full = hfspec.compile(spec, tmp_path / "full", ["save_mode=full"])
    artifact = hfspec.compile(spec, tmp_path / "reference", ["save_mode=reference"])
    assert (artifact.path / "adapter/adapter_model.safetensors").is_file()
    assert not list((artifact.path / "model").glob("*.safetensors"))
    assert {pointer.role for pointer in artifact.manifest.pointers} == {"model"}
    commits = {source.role: source.commit for source in artifact.manifest.sources}
    assert all((len(commit or "") == 40) == (kind == "repo") for commit in commits.values())
    inputs = AutoTokenizer.from_pretrained(checkpoint("bert-sentiment"))(TEXTS[0], return_tensors="pt")
    with torch.inference_mode():
        expected = directly(NAME, "float32" if dtype == "auto" else dtype)(**inputs).logits
    assert torch.equal(logits(artifact.path), expected)
    persisted = hfspec.persist(artifact.path)
    assert persisted.digest == full.digest
    assert torch.equal(logits(shutil.move(persisted.path, tmp_path / "elsewhere")), expected)
