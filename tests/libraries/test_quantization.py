"""Graphs whose matrices are quantised: measured at compile, refused beyond the tolerance, another embedding space."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import hfspec
from hfspec.report import artifact as artifact_report
from hfspec.report import plan as plan_report
from tests.compiling import plan_refusal, write_spec

TEXTS = ["hello world", "the capital of Spain is Madrid " * 60, "a b c", "one two three four five six"]
DYNAMIC = {"method": "dynamic-int8", "tolerance": 0.2}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def quantized(exported, checkpoint, tmp_path_factory):
    """``quantized(name, asked, **keys)``: the artifact of a checkpoint whose graph is exported once for all."""

    def get(name, asked, **keys):
        graph = exported(name).path / "model/model.onnx"
        spec = write_spec(tmp_path_factory.mktemp("q"), checkpoint(name), format="onnx", quantization=asked, **keys)
        with pytest.MonkeyPatch.context() as patch:
            written = "hfspec.libraries.onnxruntime.exporting.write_graph"
            patch.setattr(written, lambda module, example, path, **_: shutil.copyfile(graph, path) and 20)
            return hfspec.compile(spec, output=spec.parent / "artifact", run=False)

    return get


@pytest.fixture(scope="module")
def embedder(quantized):
    return quantized("minilm-like", DYNAMIC, golden=[{"input": TEXTS, "output": [[0.5]]}], input_example=["a b"])


@pytest.fixture(scope="module")
def classifier(quantized):
    return quantized("bert-sentiment", {"method": "dynamic-int8"}, input_example=["hello world", "a b c"])


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Files of calibration examples, by name."""
    place = tmp_path_factory.mktemp("calibration")
    golden = {"input": TEXTS[:3], "output": [[0.5]], "tolerance": 0.1}
    lines = [json.dumps(value) for value in ("hello", ["a b c", "one two"], golden)]
    (place / "lines.jsonl").write_text("\n\n".join(lines), encoding="utf-8")
    (place / "golden.json").write_text(json.dumps([golden]), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def static(quantized, examples):
    return quantized("minilm-like", {"method": "static-int8", "calibration": str(examples / "lines.jsonl")})


def graph(artifact) -> Path:
    return artifact.path / "model/model.onnx"


def test_embeddings_are_near_those_of_the_library_as_the_manifest_says(embedder, checkpoint):
    from sentence_transformers import SentenceTransformer

    wanted = SentenceTransformer(str(checkpoint("minilm-like")), device="cpu").encode(TEXTS)
    made = hfspec.load(embedder.path).predict(TEXTS)
    said = embedder.manifest.graph["quantization"]
    assert np.abs(made - wanted).max() == pytest.approx(said["difference"], rel=0.1, abs=1e-4)
    assert np.sum(made * wanted, axis=1).min() == pytest.approx(said["least_cosine"], abs=1e-3)
    assert 0 < said["difference"] <= said["tolerance"] == 0.2
    assert said["method"] == "dynamic-int8"
    assert dict(said["measured_on"]) == {"golden": 1, "input_example": 1}
    assert embedder.manifest.graph["difference"] <= 1e-4


def test_labels_are_counted(classifier, checkpoint):
    from transformers import pipeline

    rows = ["hello world", "a b c"]
    wanted = pipeline("text-classification", str(checkpoint("bert-sentiment")), device="cpu")(rows)
    same = [a == b["label"] for a, b in zip(hfspec.load(classifier.path).predict(rows)["label"], wanted, strict=True)]
    said = classifier.manifest.graph["quantization"]
    assert said["same_answers"] == sum(same) / len(same)
    assert said["tolerance"] is None
    assert "least_cosine" not in said


def test_ranges_of_static_ones_are_those_of_the_file(static, examples, checkpoint):
    from sentence_transformers import SentenceTransformer

    wanted = SentenceTransformer(str(checkpoint("minilm-like")), device="cpu").encode(TEXTS[:3])
    made = hfspec.load(static.path).predict(TEXTS[:3])
    said = static.manifest.graph["quantization"]
    assert np.abs(made - wanted).max() <= said["difference"] + 1e-4
    assert said["difference"] < 0.2
    assert dict(said["measured_on"]) == {"calibration": 3}
    assert said["calibration_sha256"] == hashlib.sha256((examples / "lines.jsonl").read_bytes()).hexdigest()
    assert said["bytes"] < 0.7 * said["bytes_before"]
    assert str(examples) not in (static.path / "spec.yaml").read_text(encoding="utf-8")
    assert "lines.jsonl" in (static.path / "spec.yaml").read_text(encoding="utf-8")


def test_other_examples_are_other_ranges_and_the_same_ones_the_same_bytes(quantized, static, examples):
    made = [
        quantized("minilm-like", {"method": "static-int8", "calibration": str(examples / name)})
        for name in ("lines.jsonl", "golden.json")
    ]
    assert graph(made[0]).read_bytes() == graph(static).read_bytes() != graph(made[1]).read_bytes()
    assert made[0].manifest.fingerprint == static.manifest.fingerprint != made[1].manifest.fingerprint


def test_a_lock_holds_the_examples(checkpoint, tmp_path):
    (tmp_path / "c.jsonl").write_text('"hello"\n', encoding="utf-8")
    asked = {"method": "static-int8", "calibration": "c.jsonl"}
    spec = write_spec(tmp_path, checkpoint("minilm-like"), format="onnx", quantization=asked)
    assert hfspec.lock(spec).lock.calibration == hashlib.sha256(b'"hello"\n').hexdigest()
    (tmp_path / "c.jsonl").write_text('"good day"\n', encoding="utf-8")
    with pytest.raises(hfspec.LockError, match="calibration"):
        hfspec.plan(spec, locked=True)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.jsonl", None, "cannot be read"),
        ("empty.jsonl", b"\n \n", "no example"),
        ("broken.jsonl", b'"a"\n{"text": \n', "line 2: not JSON"),
        ("latin.jsonl", b'"caf\xe9"', "UTF-8"),
        ("object.json", b'{"text": "a"}', "no list"),
    ],
)
def test_a_file_without_examples_is_refused(spec_for, tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    asked = {"method": "static-int8", "calibration": str(tmp_path / name)}
    error = plan_refusal(spec_for("minilm-like", format="onnx", quantization=asked))
    (problem,) = error.problems
    assert (problem.code, problem.path) == ("calibration", ("quantization", "calibration"))
    assert words in problem.message


def test_an_example_that_cannot_be_answered_is_refused(quantized, tmp_path):
    (tmp_path / "c.jsonl").write_text('"good"\n{"number": 7}\n', encoding="utf-8")
    asked = {"method": "dynamic-int8", "calibration": str(tmp_path / "c.jsonl")}
    with pytest.raises(hfspec.SpecError, match=r"c\.jsonl, line 2: "):
        quantized("minilm-like", asked)


def test_its_file_is_smaller_and_its_matrices_are_of_bytes(embedder, exported):
    import onnx

    kinds = {node.op_type for node in onnx.load(graph(embedder)).graph.node}
    assert "MatMulInteger" in kinds
    said = embedder.manifest.graph["quantization"]
    assert said["bytes"] == graph(embedder).stat().st_size
    assert said["bytes_before"] == graph(exported("minilm-like")).stat().st_size
    assert said["bytes"] < 0.7 * said["bytes_before"]


def test_it_is_a_space_of_its_own(embedder, exported):
    plain = exported("minilm-like").manifest
    assert embedder.manifest.space != plain.space
    assert embedder.manifest.fingerprint != plain.fingerprint
    assert embedder.manifest.graph["weights_space"] == plain.graph["weights_space"]


def test_the_same_spec_gives_the_same_bytes(classifier, quantized):
    again = quantized("bert-sentiment", {"method": "dynamic-int8"}, input_example=["hello world", "a b c"])
    assert graph(again).read_bytes() == graph(classifier).read_bytes()


def test_data_beside_a_large_graph_goes_along(quantized, exported, classifier):
    import onnx

    def beside(source, path):
        onnx.save_model(
            onnx.load(source), path, save_as_external_data=True, location="model.onnx.data", size_threshold=1024
        )
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.libraries.test_quantization.shutil.copyfile", beside)
        made = quantized("bert-sentiment", {"method": "dynamic-int8"})
    assert "model/model.onnx.data" in [record.path for record in made.manifest.files]
    hfspec.verify(made.path)
    rows = ["hello world", "a b c"]
    scores = [hfspec.load(one.path).predict(rows)["score"] for one in (made, classifier)]
    np.testing.assert_allclose(*scores, atol=1e-6)


def test_plan_report_and_compile_say_it(embedder, spec_for):
    plan = hfspec.plan(spec_for("minilm-like", format="onnx", quantization=DYNAMIC))
    assert "dynamic-int8, 0.2 at most" in plan_report.render(plan, "text")
    assert json.loads(plan_report.render(plan, "json"))["quantization"] == DYNAMIC
    difference = f"{embedder.manifest.graph['quantization']['difference']:g}"
    report = artifact_report.render(embedder.manifest, "text")
    measured = f"{difference} from the numbers of float32 over 1 golden example and the input example (0.2 is allowed)"
    assert f"dynamic-int8, {measured}" in " ".join(report.split())
    assert any("dynamic-int8" in note and measured in note for note in embedder.notes)


@pytest.mark.parametrize("examples", [{}, {"input_example": ["hello world"]}])
def test_one_that_is_too_far_is_refused_with_the_numbers(quantized, examples):
    with pytest.raises(hfspec.SpecError) as caught:
        quantized("bert-sentiment", {"method": "dynamic-int8", "tolerance": 0}, **examples)
    (problem,) = caught.value.problems
    assert problem.path == ("quantization", "tolerance")
    assert problem.expected == "numbers at most 0 apart"
    assert float(problem.found.split()[0]) > 0
    assert "same answers" in problem.found
    assert "Raise `tolerance`" in problem.remedy


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"quantization": {"method": "dynamic-int8"}}, "Write `format: onnx`"),
        ({"format": "safetensors", "quantization": {"method": "dynamic-int8"}}, "Write `format: onnx`"),
        ({"format": "onnx", "quantization": {"method": "int3"}}, "dynamic-int8"),
        ({"format": "onnx", "quantization": {}}, "method"),
        ({"format": "onnx", "quantization": {"method": "static-int8"}}, "calibration"),
        ({"format": "onnx", "quantization": {"method": "static-int8", "calibration": 3}}, "calibration"),
        ({"format": "onnx", "quantization": {"method": "dynamic-int8", "tolerance": -1}}, "tolerance"),
        ({"format": "onnx", "quantization": {"method": "dynamic-int8", "tolerance": "nan"}}, "tolerance"),
        ({"format": "onnx", "quantization": {"method": "dynamic-int8", "bits": 4}}, "bits"),
    ],
)
def test_what_cannot_be_asked_is_refused(spec_for, keys, words):
    problems = hfspec.validate(spec_for("st-dense", **keys))
    assert any(words in str(problem) for problem in problems), problems
