"""Weights of 16 bits on a CPU that is slower with them: the load and the compile say so, or compute in float32."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import hfspec
from hfspec.errors import SpecError, UsageError
from hfspec.ir.artifact import Manifest
from hfspec.ir.frozen import FrozenDict
from hfspec.runtime.backends import half_precision
from tests.compiling import write_spec
from tests.runtime.texts import PLAIN


@pytest.fixture(scope="module")
def compiled(checkpoint, tmp_path_factory):
    """``compiled(name, **keys)``: the folder of an artifact of bfloat16 weights."""

    def get(name, /, **keys):
        folder = tmp_path_factory.mktemp("half")
        spec = write_spec(folder / "spec", checkpoint(name), **{"dtype": "bfloat16", **keys})
        return hfspec.compile(spec, output=folder / "out", run=False).path

    return get


@pytest.fixture(scope="module")
def artifacts(compiled):
    """The sentiment model, by what its spec says of the dtype to compute in."""
    return {
        chosen: compiled("bert-sentiment", runtime={} if chosen is None else {"compute_dtype": chosen})
        for chosen in (None, "auto", "float32", "bfloat16")
    }


def slower(monkeypatch, ratio):
    monkeypatch.setattr(half_precision, "times_float32", lambda _: ratio)


def messages(caplog):
    return [record.getMessage() for record in caplog.records if "Products in" in record.getMessage()]


@pytest.mark.parametrize(
    ("ratio", "dtype", "said"),
    [(3.04, None, "3.0 times as long"), (1.1, None, ""), (3.04, "float16", "in float16"), (3.04, "float32", "")],
)
def test_a_load_says_how_much_longer_products_take(artifacts, monkeypatch, caplog, ratio, dtype, said):
    slower(monkeypatch, ratio)
    with caplog.at_level(logging.WARNING, "hfspec"):
        predictor = hfspec.load(artifacts[None], dtype=dtype)
    assert len(messages(caplog)) == bool(said)
    assert all(said in message and "dtype='float32'" in message for message in messages(caplog))
    assert ("Products in" in predictor.trial_note()) == bool(said)


def test_products_are_timed_beside_those_in_float32():
    assert half_precision.times_float32("bfloat16") > 0


@pytest.mark.parametrize(
    ("chosen", "ratio", "dtype", "computes", "warns"),
    [
        ("auto", 3.0, None, "float32", False),
        ("auto", 1.0, None, "bfloat16", False),
        ("auto", 3.0, "bfloat16", "bfloat16", True),
        ("float32", 1.0, None, "float32", False),
        ("float32", 3.0, "auto", "bfloat16", True),
        ("float32", 3.0, "float16", "float16", True),
        ("bfloat16", 3.0, None, "bfloat16", False),
        ("bfloat16", 3.0, "float32", "float32", False),
    ],
)
def test_a_load_goes_before_the_spec_and_the_spec_before_what_is_stored(
    artifacts, monkeypatch, caplog, chosen, ratio, dtype, computes, warns
):
    slower(monkeypatch, ratio)
    with caplog.at_level(logging.WARNING, "hfspec"):
        predictor = hfspec.load(artifacts[chosen], dtype=dtype)
    model = predictor.components()["model"]
    assert {str(parameter.dtype) for parameter in model.parameters()} == {f"torch.{computes}"}
    assert predictor.dtype == computes
    assert bool(messages(caplog)) == warns


def test_answers_are_those_of_the_rounded_weights_in_float32(artifacts, checkpoint):
    source = checkpoint("bert-sentiment")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(source, dtype=torch.bfloat16).float().eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    with torch.inference_mode():
        rounded = torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in PLAIN]).softmax(-1)
    answers = hfspec.load(artifacts["float32"]).predict(list(PLAIN))
    np.testing.assert_allclose(answers["score"], rounded.max(-1).values, atol=2e-6)
    in_16_bits = hfspec.load(artifacts["bfloat16"]).predict(list(PLAIN))
    assert np.abs(in_16_bits["score"] - answers["score"]).max() > 1e-4


def test_the_plan_and_the_artifact_say_it(checkpoint, tmp_path, artifacts):
    plans = {
        chosen: hfspec.plan(
            write_spec(
                tmp_path / str(chosen),
                checkpoint("bert-sentiment"),
                dtype="bfloat16",
                runtime={"compute_dtype": chosen} if chosen else {},
            )
        )
        for chosen in (None, "auto", "float32")
    }
    assert plans["auto"].memory_bytes == plans[None].memory_bytes < plans["float32"].memory_bytes
    assert plans["float32"].weight_bytes == plans[None].weight_bytes
    notes = {chosen: [note for note in plan.notes if "load casts" in note] for chosen, plan in plans.items()}
    assert notes[None] == []
    assert "2 times the memory" in notes["float32"][0]
    assert "where products in bfloat16 are measured to be slower" in notes["auto"][0]
    manifest = json.loads((artifacts["float32"] / "artifact.json").read_text(encoding="utf-8"))
    assert (manifest["deployment"]["dtype"], manifest["format_version"]) == ("bfloat16", 2)
    assert manifest["deployment"]["runtime"] == {"compute_dtype": "float32"}


def test_a_compile_says_what_the_trial_run_computed_in(artifacts, monkeypatch):
    slower(monkeypatch, 3.0)
    note = hfspec.load(artifacts["auto"]).trial_note()
    assert "Products in bfloat16 take 3.0 times as long" in note
    assert "the trial run computed in float32" in note


def test_embeddings_computed_in_another_dtype_are_another_space(compiled):
    stored, cast = (
        compiled("minilm-like", runtime={"compute_dtype": chosen} if chosen else {}) for chosen in (None, "float32")
    )
    own = json.loads((cast / "artifact.json").read_text(encoding="utf-8"))["fingerprint"]
    assert hfspec.load(cast, expect_fingerprint=own).fingerprint == own
    assert hfspec.load(stored, dtype="float32").fingerprint == own != hfspec.load(stored).fingerprint
    np.testing.assert_array_equal(
        hfspec.load(cast).predict(list(PLAIN)), hfspec.load(stored, dtype="float32").predict(list(PLAIN))
    )


def test_a_backend_runs_what_is_computed_in_its_dtype(compiled):
    artifact = compiled("bert-sentiment", runtime={"compute_dtype": "float32", "backend": "openvino"})
    assert hfspec.load(artifact, backend="torch").dtype == "float32"


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        ("bert-sentiment", {"runtime": {"compute_dtype": "fp32"}}, "did you mean 'float32'"),
        ("bert-sentiment", {"runtime": {"compute_dtype": "int8"}}, "of `compute_dtype` is not allowed"),
        ("minilm-like", {"runtime": {"compute_dtype": "auto"}}, "embeddings computed in another dtype"),
        ("bert-sentiment", {"format": "onnx", "runtime": {"compute_dtype": "float32"}}, "and this one is onnx"),
        (
            "bert-sentiment",
            {"dtype": "auto", "runtime": {"compute_dtype": "bfloat16", "backend": "openvino"}},
            "does not compute in bfloat16",
        ),
        (
            "bert-sentiment",
            {"dtype": "bfloat16", "runtime": {"compute_dtype": "auto", "backend": "openvino"}},
            "does not compute in bfloat16",
        ),
        (
            "gpt2",
            {"convert": {"to": "onnxruntime-genai", "precision": "int4"}, "runtime": {"compute_dtype": "float32"}},
            "computes in its own precision",
        ),
    ],
    ids=["alias", "no-dtype", "auto-embeddings", "graph", "backend", "backend-auto", "converted"],
)
def test_what_cannot_be_is_refused_with_its_place(checkpoint, tmp_path, name, keys, said):
    with pytest.raises(SpecError) as refusal:
        hfspec.plan(write_spec(tmp_path, checkpoint(name), **keys))
    texts = [str(problem) for problem in refusal.value.problems]
    assert any(said in text and "spec.yaml:" in text for text in texts), texts


def test_a_manifest_with_another_word_is_refused_at_load(artifacts, tmp_path):
    copy = Path(shutil.copytree(artifacts["float32"], tmp_path / "copy"))
    manifest = Manifest.from_bytes((copy / "artifact.json").read_bytes())
    runtime = FrozenDict({"compute_dtype": "int8"})
    changed = replace(manifest, deployment=replace(manifest.deployment, runtime=runtime))
    (copy / "artifact.json").write_bytes(changed.to_bytes())
    with pytest.raises(UsageError, match="dtype must be one of"):
        hfspec.load(copy)
