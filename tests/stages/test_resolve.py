"""The stage: a spec's sources to pins and readers, or every failure at its place."""

from __future__ import annotations

import shutil

import pytest

from hfspec.errors import SourceError, SpecError
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.pins import Pins
from hfspec.ir.problem import Origin
from hfspec.ir.progress import Silent
from hfspec.ir.spec import Spec
from hfspec.ir.tree import Tree
from hfspec.stages.resolve import resolve


def resolved(file="specs/x.yaml", origins=None, library="transformers", **keys):
    document = {"spec_version": 1, "library": library, "task": "text-classification", **keys}
    return resolve(Spec.model_validate(document), Tree(file, FrozenDict(document), origins or {}), Silent())


def test_a_model_alone(hub):
    found = resolved(model={"repo": "unitary/toxic-bert"})
    assert isinstance(found.pins, Pins)
    assert [source.role for source in found.pins.sources] == ["model"]
    assert set(found.readers) == {"model"}
    assert found.readers["model"].small("config.json").is_file()


def test_a_tokenizer_of_its_own_comes_second(hub, checkpoint):
    tokenizer = {"path": str(checkpoint("bert-toxic")), "options": {"model_max_length": 100}}
    found = resolved(model={"repo": "unitary/toxic-bert"}, components={"tokenizer": tokenizer})
    model, component = found.pins.sources
    assert (model.role, component.role) == ("model", "components/tokenizer")
    assert found.pins.source("components/tokenizer") == component
    files = ["README.md", "config.json", "tokenizer.json", "tokenizer_config.json"]
    assert [file.path for file in component.files] == files
    assert found.readers["components/tokenizer"].fetch("tokenizer.json").is_file()


def test_a_path_is_relative_to_the_file_that_wrote_it(checkpoint, tmp_path, monkeypatch):
    for place in ("specs/base", "here"):
        shutil.copytree(checkpoint("bert-sentiment"), tmp_path / place / "model")
    spec, base = str(tmp_path / "specs" / "x.yaml"), str(tmp_path / "specs" / "base" / "base.yaml")
    key = ("model", "path")
    monkeypatch.chdir(tmp_path / "here")

    def place(origin):
        reader = resolved(spec, {key: origin}, model={"path": "model"}).readers["model"]
        return reader.fetch("config.json").resolve().parent

    assert place(Origin(base, 3, 3)) == tmp_path / "specs" / "base" / "model"
    assert place(Origin(override="model.path=model")) == tmp_path / "here" / "model"
    with pytest.raises(SpecError, match=r"model does not exist") as caught:
        place(Origin(spec, 3, 3))
    (problem,) = caught.value.problems
    assert (problem.code, problem.path, problem.origin.line) == ("no-such-folder", ("model", "path"), 3)


def test_every_failing_source_is_reported_at_its_place(hub, tmp_path):
    origins = {
        ("model", "repo"): Origin("specs/x.yaml", 4, 3),
        ("components", "tokenizer", "path"): Origin(override="components.tokenizer.path=absent"),
    }
    with pytest.raises(SourceError) as caught:
        resolved(
            origins=origins,
            model={"repo": "someone/absent"},
            components={"tokenizer": {"path": "absent"}},
        )
    first, second = str(caught.value).splitlines()
    assert first.startswith("specs/x.yaml:4:3: model: someone/absent does not exist on")
    expected = "command line (components.tokenizer.path=absent): components.tokenizer: absent does not exist"
    assert second.startswith(expected)


def test_sentence_transformers_modules_through_the_hub(hub):
    keys = {"library": "sentence-transformers", "task": "feature-extraction"}
    document = {"model": {"repo": "sentence-transformers/all-MiniLM-L6-v2"}, **keys}
    (source,) = resolved(**document).pins.sources
    assert {"modules.json", "1_Pooling/config.json", "sentence_bert_config.json"} <= {f.path for f in source.files}
    assert dict(source.skipped).keys() == {"data_config.json", "train_script.py"}


def test_nothing_is_written_outside_the_cache(hub, tmp_path, monkeypatch):
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    found = resolved(model={"repo": "unitary/toxic-bert"})
    found.readers["model"].fetch("model.safetensors")
    assert list((tmp_path / "cwd").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"cwd", "hf-cache"}


def test_logs_and_bars_stay_silent(hub, capfd):
    hub.faults.add("status", status=500, times=2)
    found = resolved(model={"repo": "unitary/toxic-bert"})
    found.readers["model"].fetch("model.safetensors")
    assert capfd.readouterr() == ("", "")
