"""Graphs whose matrices are quantised: measured at compile, refused beyond the tolerance, another embedding space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import hfspec
from hfspec.ir.artifact import Artifact
from tests.compiling import refusal, write_spec

TEXTS = ["hello world", "the capital of Spain is Madrid " * 60, "a b c", "one two three four five six"]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def pair(tmp_path_factory, checkpoint) -> tuple[Artifact, Artifact]:
    """The artifacts of one checkpoint with the weights as they are, and quantised."""
    place = tmp_path_factory.mktemp("quantized")
    plain = write_spec(place / "plain", checkpoint("st-dense"), format="onnx")
    asked = {"method": "dynamic-int8", "tolerance": 0.2}
    small = write_spec(place / "small", checkpoint("st-dense"), format="onnx", quantization=asked)
    return hfspec.compile(plain, output=place / "a"), hfspec.compile(small, output=place / "b")


def graph(artifact: Artifact) -> Path:
    return artifact.path / "model/model.onnx"


def test_answers_are_near_and_the_manifest_says_how_near(pair):
    plain, small = pair
    one, other = (hfspec.load(artifact.path) for artifact in pair)
    difference = np.abs(one.predict(TEXTS) - other.predict(TEXTS)).max()
    said = small.manifest.graph["quantization"]
    assert 0 < difference <= 0.2
    assert (said["method"], said["tolerance"]) == ("dynamic-int8", 0.2)
    assert 0 < said["difference"] <= 0.2
    assert small.manifest.graph["difference"] <= 1e-4
    assert "quantization" not in plain.manifest.graph


def test_its_matrices_are_of_bytes(pair):
    import onnx

    kinds = [{node.op_type for node in onnx.load(graph(artifact)).graph.node} for artifact in pair]
    assert not any("Integer" in name for name in kinds[0])
    assert any("Integer" in name for name in kinds[1])


def test_it_is_a_space_of_its_own(pair):
    plain, small = (hfspec.load(artifact.path).fingerprint for artifact in pair)
    assert plain != small


def test_the_same_spec_gives_the_same_bytes(pair, checkpoint, tmp_path):
    asked = {"method": "dynamic-int8", "tolerance": 0.2}
    spec = write_spec(tmp_path / "s", checkpoint("st-dense"), format="onnx", quantization=asked)
    again = hfspec.compile(spec, output=tmp_path / "out")
    assert graph(again).read_bytes() == graph(pair[1]).read_bytes()


def test_a_plan_says_it(checkpoint, tmp_path):
    asked = {"method": "dynamic-int8", "tolerance": 0.2}
    found = hfspec.plan(write_spec(tmp_path / "s", checkpoint("st-dense"), format="onnx", quantization=asked))
    assert any("dynamic-int8" in note and "0.2" in note for note in found.notes)


def test_one_that_is_too_far_is_refused(checkpoint, tmp_path):
    asked = {"method": "dynamic-int8", "tolerance": 0}
    error = refusal(write_spec(tmp_path / "s", checkpoint("st-dense"), format="onnx", quantization=asked))
    (problem,) = error.problems
    assert problem.path == ("quantization", "tolerance")
    assert "Raise `tolerance`" in problem.remedy


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"quantization": {"method": "dynamic-int8"}}, "Write `format: onnx`"),
        ({"format": "safetensors", "quantization": {"method": "dynamic-int8"}}, "Write `format: onnx`"),
        ({"format": "onnx", "quantization": {"method": "int3"}}, "dynamic-int8"),
        ({"format": "onnx", "quantization": {}}, "method"),
        ({"format": "onnx", "quantization": {"method": "dynamic-int8", "tolerance": -1}}, "tolerance"),
        ({"format": "onnx", "quantization": {"method": "dynamic-int8", "tolerance": "nan"}}, "tolerance"),
        ({"format": "onnx", "quantization": {"method": "dynamic-int8", "bits": 4}}, "bits"),
    ],
)
def test_what_cannot_be_asked_is_refused(checkpoint, tmp_path, keys, words):
    problems = hfspec.validate(write_spec(tmp_path / "s", checkpoint("st-dense"), **keys))
    assert any(words in str(problem) for problem in problems), problems
